"""Puts fonts where programs look for them, and lets matplotlib know them, and others' names for them, from the start."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from font_files import FILES
from source import replace_once

_PACKAGES = {"noto_cjk_sans_otc": "opentype/noto", "manimgx_fonts": "truetype/noto"}
"""Python packages that carry nothing but fonts, with the folder that Debian's own have for the like."""
_FONTS = "usr/share/fonts"


def install_fonts(root: Path, site: Path) -> None:
    for package, folder in _PACKAGES.items():
        if (site / package).is_dir():
            _unpack(site, package, root / _FONTS / folder)
    if not (site / "matplotlib").is_dir():
        return
    bundled = site / "matplotlib/mpl-data/fonts/ttf"
    for pattern, folder in (("DejaVu*.ttf", "dejavu"), ("STIXGeneral*.ttf", "stix")):
        for font in sorted(bundled.glob(pattern)):
            _link(root / _FONTS / "truetype" / folder / font.name, f"/{font.relative_to(root)}")
    _keep_list(root, site)
    _name_files(root)


def _unpack(site: Path, package: str, folder: Path) -> None:
    """Moves the package's fonts and licence; as a Python package it would only be found by its name."""
    folder.mkdir(parents=True, exist_ok=True)
    for font in sorted((site / package).glob("*.tt?")):
        shutil.move(font, folder / re.sub(r"\[.*\]", "-Regular", font.name).replace("Italic-Regular", "Italic"))
    for information in site.glob(f"{package}-*.dist-info"):
        for licence in information.rglob("LICENSE*"):
            shutil.copyfile(licence, folder / f"LICENSE-{package}.txt")
        shutil.rmtree(information)
    shutil.rmtree(site / package)


def _link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def _name_files(root: Path) -> None:
    there = {path.name: path for path in (root / _FONTS).rglob("*") if path.is_file() or path.is_symlink()}
    for name, others in FILES.items():
        for other in others:
            if name in there and other not in there:
                _link(root / _FONTS / "aliases" / other, f"/{there[name].relative_to(root)}")


def _keep_list(root: Path, site: Path) -> None:
    """Lets matplotlib read the list of its fonts from the image, instead of making it in every session."""
    with tempfile.TemporaryDirectory() as made:
        environment = {**os.environ, "PYTHONPATH": str(site), "MPLCONFIGDIR": made}
        target = site / "matplotlib/mpl-data/fontlist.json"
        command = [sys.executable, "-B", str(Path(__file__).with_name("list_fonts.py")), str(root), str(target)]
        told = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if told.returncode:
        sys.exit("the list of fonts cannot be made")
    bundled = f"{site}/matplotlib/mpl-data/".removeprefix(str(root))
    fallbacks = [(path.removeprefix(bundled), index) for path, index in json.loads(told.stdout)]
    _patch_search(site / "matplotlib", fallbacks)


def _patch_search(matplotlib: Path, fallbacks: list[tuple[str, int]]) -> None:
    """In its source, so that it holds whatever a program's settings and styles say, and in every process."""
    shutil.copyfile(Path(__file__).with_name("families.py"), matplotlib / "_families.py")
    source = matplotlib / "font_manager.py"
    replace_once(
        source,
        "\nfontManager = _load_fontmanager()\n",
        f"""
_fallbacks = [FontPath(os.path.join(mpl.get_data_path(), path), index) for path, index in {fallbacks!r}]
fontManager = json_load(cbook._get_data_path('fontlist.json'))
""",
    )
    replace_once(
        source,
        "\n            return fname\n\n        if fontext == 'afm':\n",
        """
            return fname

        if fontext == 'ttf':
            from matplotlib._families import resolve
            prop = resolve(self, prop)
        if fontext == 'afm':
""",
    )
    replace_once(
        source,
        "\n        return fpaths\n",
        """
        if fontext == 'ttf':
            fpaths += [path for path in _fallbacks if path not in fpaths and os.path.isfile(path.path)]
        return fpaths
""",
    )
    # Mathematical text, which is what any text with two dollar signs is, has a search of its own.
    source = matplotlib / "_mathtext.py"
    replace_once(
        source,
        """
                _log.warning("Font %r does not have a glyph for %a [U+%x], "
""",
        """
                for path in font_manager._fallbacks:
                    font = get_font(path)
                    if font.get_char_index(uniindex):
                        return font, uniindex, False
                _log.warning("Font %r does not have a glyph for %a [U+%x], "
""",
    )
    replace_once(source, "\nfrom . import cbook\n", "\nfrom . import cbook, font_manager\n")
