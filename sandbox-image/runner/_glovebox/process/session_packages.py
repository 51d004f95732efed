"""The session's own packages on the search path."""

import os
import site
import sys
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)

from _glovebox.paths import USER_BASE, USER_SITE


def add_folder() -> None:
    """Puts their folder before the image's packages; also where none is there yet, for later installations."""
    site.ENABLE_USER_SITE, site.USER_BASE, site.USER_SITE = True, USER_BASE, USER_SITE
    if USER_SITE not in sys.path:
        sys.path.insert(1, USER_SITE)
        _look_again_for_the_folder()


def put_first() -> None:
    """Puts them before the image's, so that a newer one wins, and what their `.pth` files name."""
    add_folder()
    if not os.path.isdir(USER_SITE):
        return
    before = list(sys.path)
    # It is on the path already: this adds what `.pth` files name.
    site.addsitedir(USER_SITE)
    added = [path for path in sys.path if path not in before]
    after = before.index(USER_SITE) + 1
    sys.path[:] = [*before[:after], *added, *before[after:]]


def _look_again_for_the_folder() -> None:
    """The interpreter remembers that a folder is not there until its caches are cleared; a finder looks each time."""
    loaders = (
        (ExtensionFileLoader, EXTENSION_SUFFIXES),
        (SourceFileLoader, SOURCE_SUFFIXES),
        (SourcelessFileLoader, BYTECODE_SUFFIXES),
    )
    sys.path_importer_cache[USER_SITE] = FileFinder(USER_SITE, *loaders)
