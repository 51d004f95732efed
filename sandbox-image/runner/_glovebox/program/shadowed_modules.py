"""Modules of the session that an import finds before those of the image."""

import os
import time

from _glovebox.paths import USER_SITE, WORKSPACE

MAX_ENTRIES = 20_000
"""Entries of one folder; in a larger one anything may be."""
_RECENT_NS = 50_000_000
"""A folder changed so shortly before it was read may change again without another time stamp."""
_SUFFIXES = (".py", ".pyc", ".so")
_CONFIGURATION = {
    "matplotlib": tuple(
        f"{WORKSPACE}/{path}"
        for path in ("matplotlibrc", ".config/matplotlib/matplotlibrc", ".config/matplotlib/stylelib", ".matplotlib")
    )
}
"""Files of the session that a module reads when it is imported."""

_Stamp = tuple[int, int, int]


class ShadowedModules:
    """The top-level names of modules in the workspace and among the session's packages; read again after a change."""

    def __init__(self) -> None:
        self._stamps: tuple[_Stamp | None, ...] = ()
        self._names: set[str] = set()
        self._folders: set[str] = set()
        """Folders of the workspace: modules only if they hold an `__init__`, which changes no time stamp above them."""
        self._anything = False
        """Whether there may be modules of any name."""

    def may_hide(self, names: set[str]) -> bool:
        """Whether an import of any of these may find another module than the image's."""
        self._refresh()
        if self._anything or not names.isdisjoint(self._names):
            return True
        if any(_is_package(f"{WORKSPACE}/{name}") for name in names & self._folders):
            return True
        return any(os.path.lexists(path) for name in names & _CONFIGURATION.keys() for path in _CONFIGURATION[name])

    def _refresh(self) -> None:
        """Reads the folders if they have changed."""
        stamps = (_stamp(WORKSPACE), _stamp(USER_SITE))
        if stamps == self._stamps:
            return
        self._anything = False
        self._names = set()
        self._folders = set()
        self._read(WORKSPACE, self._folders)
        if stamps[1]:
            self._read(USER_SITE, self._names)
        now = time.time_ns()
        settled = all(stamp is None or now - stamp[2] > _RECENT_NS for stamp in stamps)
        self._stamps = stamps if settled else ()

    def _read(self, directory: str, folders: set[str]) -> None:
        try:
            with os.scandir(directory) as entries:
                for count, entry in enumerate(entries):
                    if count == MAX_ENTRIES:
                        self._anything = True
                        return
                    self._note(directory, entry.name, folders)
        except OSError:
            # Where there is nothing to read there is nothing to import.
            return

    def _note(self, directory: str, name: str, folders: set[str]) -> None:
        if name.endswith(".pth") and directory == USER_SITE:
            # Its lines may put any folder before the image's.
            self._anything = True
        elif name.endswith(_SUFFIXES):
            self._names.add(name.partition(".")[0])
        elif "." not in name:
            folders.add(name)


def _is_package(directory: str) -> bool:
    try:
        return any(name.startswith("__init__.") for name in os.listdir(directory))
    except OSError:
        return False


def _stamp(directory: str) -> _Stamp | None:
    try:
        stat = os.stat(directory)
    except OSError:
        return None
    return stat.st_dev, stat.st_ino, stat.st_ctime_ns
