"""Readies packages that pip installed under a root for an image that is read-only at run time.

Runs once, while the image is built: python3 -IB prepare ROOT
"""

import compileall
import sys
from pathlib import Path

from fonts import install_fonts
from locales import add_locales
from slimming import remove_unused, strip_libraries
from spreadsheets import add_formats


def compile_all(root: Path, site: Path) -> None:
    """Byte code names the files by the paths they will have."""
    if not compileall.compile_dir(site, quiet=1, workers=0, maxlevels=30, stripdir=str(root), prependdir="/"):
        sys.exit("some packages do not compile")


def main(root: Path) -> None:
    site = next(root.rglob("uv-*.dist-info")).parent
    remove_unused(site)
    strip_libraries(site)
    install_fonts(root, site)
    add_formats(site)
    compile_all(root, site)
    add_locales(root)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
