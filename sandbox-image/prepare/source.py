"""Changes in the source of packages."""

import sys
from pathlib import Path


def replace_once(path: Path, old: str, new: str) -> None:
    """Ends the build when the text is not there once: the package is not the version that the change is for."""
    text = path.read_text(encoding="utf-8")
    if text.count(old) != 1:
        sys.exit(f"{path} is not the one that this was written for: it has not, or not once,\n{old}")
    path.write_text(text.replace(old, new), encoding="utf-8")
