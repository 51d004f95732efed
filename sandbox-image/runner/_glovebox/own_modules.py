"""The runner's own modules, out of the sight of the code that runs.

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
# A process that the code forks has the lock, but not the thread that may hold it.
os.register_at_fork(after_in_child=getattr(_lock, "_at_fork_reinit"))


def hide_own() -> None:
    """Takes them from the modules that an import finds loaded, and their folder from the search path."""
    sys.path[:] = [entry for entry in sys.path if entry != RUNNER_DIRECTORY]
    _hidden.update(_take())


def import_own(name: str, *, guard_path: bool = True) -> Any:
    """A module of the package, by its name there: one that few programs need, which would cost every sandbox memory.

    Whatever it imports is not looked for in the session's folders: a planted module is the code's affair, not ours.
    Without `guard_path` it is, as other threads of the code may be importing.
    """
    with _lock:
        theirs = _take()
        sys.modules.update(_hidden)
        path = sys.path[:]
        if guard_path:
            sys.path[:] = [entry for entry in path if _is_of_image(str(entry))]
        try:
            return importlib.import_module(f"{_PACKAGE}.{name}")
        finally:
            if guard_path:
                sys.path[:] = path
            _hidden.update(_take())
            sys.modules.update(theirs)


def _is_of_image(entry: str) -> bool:
    return os.path.isabs(entry) and not entry.startswith(WORKSPACE)


def _take() -> dict[str, ModuleType]:
    """Removes the package and what is in it from the loaded modules."""
    names = [name for name in list(sys.modules) if str(name).partition(".")[0] == _PACKAGE]
    return {name: sys.modules.pop(name) for name in names}
