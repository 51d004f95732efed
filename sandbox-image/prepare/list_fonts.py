"""Makes the list of fonts that matplotlib reads at its import, and prints where those are that fall back on each other.

A program of its own, because it imports matplotlib from below ROOT: list_fonts.py ROOT LIST
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from families import ALIASES, FALLBACK
from matplotlib import font_manager


def list_fonts(root: str) -> Any:
    """The font manager with the fonts of matplotlib, of the base and below the root, as if the root were `/`."""
    manager: Any = font_manager.FontManager()
    for path in sorted(Path(root, "usr/share/fonts").rglob("*.tt?")):
        if not path.is_symlink():
            manager.addfont(path)
    manager.ttflist = [_place(font, root) for font in manager.ttflist]
    return manager


def _place(font: Any, root: str) -> Any:
    path = font.fname.removeprefix(root)
    if not path.startswith("/usr/share/fonts"):
        return dataclasses.replace(font, fname=path)
    # The default instance of a variable font, or the only weight that there is.
    return dataclasses.replace(font, fname=path, weight=400)


def group(fonts: list[Any]) -> dict[str, list[Any]]:
    families: dict[str, list[Any]] = {}
    for font in fonts:
        families.setdefault(font.name, []).append(font)
    return families


def main(root: str, target: str) -> None:
    manager = list_fonts(root)
    for fonts in group(manager.ttflist).values():
        if all(font.weight == 400 for font in fonts):
            # Asked for bold type, matplotlib would warn that there is none.
            manager.ttflist.append(dataclasses.replace(fonts[0], weight=700))
    families = group(manager.ttflist)
    if missing := {*FALLBACK, *ALIASES.values()} - set(families):
        sys.exit(f"There is no font of the families {sorted(missing)}.")
    font_manager.json_dump(manager, target)
    upright = [next(font for font in families[name] if (font.style, font.weight) == ("normal", 400)) for name in FALLBACK]
    print(json.dumps([(font.fname, font.index) for font in upright]))


if __name__ == "__main__":
    main(*sys.argv[1:])
