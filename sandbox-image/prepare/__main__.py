"""Readies packages that pip installed under a root for an image that is read-only at run time.

Runs once, while the image is built: python3 -IB prepare-packages.py ROOT
"""

import compileall
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# A quarter of the bytes and of the time to compile; no package imports its own.
TESTED = ["matplotlib", "networkx", "numpy", "pandas", "scipy", "sklearn", "statsmodels", "sympy"]


def remove_tests(site: Path) -> None:
    for package in TESTED:
        for tests in sorted((site / package).rglob("tests")):
            if tests.is_dir():
                shutil.rmtree(tests, ignore_errors=True)


def keep_font_list(site: Path) -> None:
    """Lets matplotlib read the list of its fonts from the image, instead of making it in every session."""
    with tempfile.TemporaryDirectory() as made:
        environment = {**os.environ, "PYTHONPATH": str(site), "MPLCONFIGDIR": made}
        subprocess.run([sys.executable, "-Bc", "import matplotlib.font_manager"], env=environment, check=True)
        (font_list,) = Path(made).glob("fontlist-*.json")
        shutil.copyfile(font_list, site / "matplotlib/mpl-data/fontlist.json")
    source = site / "matplotlib/font_manager.py"
    text = source.read_text(encoding="utf-8")
    made_anew = "\nfontManager = _load_fontmanager()\n"
    if text.count(made_anew) != 1:
        sys.exit("matplotlib.font_manager is not the one this was written for: see keep_font_list")
    read = "\nfontManager = json_load(cbook._get_data_path('fontlist.json'))\n"
    source.write_text(text.replace(made_anew, read), encoding="utf-8")


def compile_all(root: Path, site: Path) -> None:
    """Byte code names the files by the paths they will have."""
    if not compileall.compile_dir(site, quiet=1, workers=0, maxlevels=30, stripdir=str(root), prependdir="/"):
        sys.exit("some packages do not compile")


def main(root: Path) -> None:
    site = next(root.rglob("uv-*.dist-info")).parent
    remove_tests(site)
    if (site / "matplotlib").is_dir():
        keep_font_list(site)
    compile_all(root, site)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
