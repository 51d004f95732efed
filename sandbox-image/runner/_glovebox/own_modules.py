"""Hides the runner's own modules from the code that runs.

They are one package, so there is one name to hide. The code may have a package of that name as well.
"""

import importlib
import os
import sys
from _thread import RLock
from types import ModuleType
from typing import Any

from _glovebox.paths import RUNNER_DIRECTORY, WORKSPACE

_PACKAGE = "_glovebox"
_hidden: dict[str, ModuleType] = {}
_lock = RLock()


def _renew_lock() -> None:
    """Replaces the lock in a process that the code has forked: the thread that may hold it is not there."""
    global _lock
    _lock = RLock()


os.register_at_fork(after_in_child=_renew_lock)


def hide_own() -> None:
    """Removes them from `sys.modules`, and their folder from the search path."""
    sys.path[:] = [entry for entry in sys.path if entry != RUNNER_DIRECTORY]
    _hidden.update(_take())


def import_own(name: str, *, guard_path: bool = True) -> Any:
    """Imports a module of the package late, by its name there: one that few programs need, as each costs memory.

    While it loads, the session's folders are off the search path: a module planted there must not run as the runner's.
    Without `guard_path` they stay, because other threads of the code may be importing.
    """
    with _lock:
        theirs = _take()
        sys.modules.update(_hidden)
        path = sys.path[:]
        if guard_path:
            sys.path[:] = [entry for entry in path if is_of_image(str(entry))]
        try:
            return importlib.import_module(f"{_PACKAGE}.{name}")
        finally:
            if guard_path:
                sys.path[:] = path
            _hidden.update(_take())
            sys.modules.update(theirs)


def is_of_image(entry: str) -> bool:
    """Whether an entry of the search path is none of the session's folders."""
    return os.path.isabs(entry) and not entry.startswith(WORKSPACE)


def _take() -> dict[str, ModuleType]:
    """Removes the package and what is in it from the loaded modules."""
    names = [name for name in list(sys.modules) if str(name).partition(".")[0] == _PACKAGE]
    return {name: sys.modules.pop(name) for name in names}
