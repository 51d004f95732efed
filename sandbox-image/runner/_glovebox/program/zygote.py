"""The process that has modules loaded, and that programs are forked from to find them.

It is a process of its own, so that no module can take the runner, and with it the channel, down. It speaks JSON with
the runner over a socket that keeps messages apart. Orders, with the descriptors that belong to each:
`{"import": names, "any": whether modules of the standard library count, "limit": bytes}` with a socket for the process
that has them then, `{"fork": true}` with a supervisor's socket, `{}` to collect ended children. Any order that comes during
an import ends it after the module under way. What it says: `{"pid"}` and `{"began"}` on the way of an import, then
`{"failed", "reason"}`, its last word, or `{"loaded", "names", "bytes", "own"}`; `{"forked": pid or 0}`.
"""

import gc
import json
import os
import select
import signal
import socket
import sys
import types
from collections.abc import Callable
from typing import Any, NoReturn

from _glovebox import linux
from _glovebox.own_modules import hide_own
from _glovebox.paths import WORKSPACE
from _glovebox.process import reseeding
from _glovebox.process.environment import environment
from _glovebox.process.imported_modules import site_directories
from _glovebox.process.streams import ensure_standard_streams
from _glovebox.program.program import Program
from _glovebox.program.shadowed_modules import ShadowedModules

IMPORT_LIMIT_S = 20
MAX_MESSAGE = 128 * 1024
_MAX_REASON = 500

Become = Callable[[socket.socket], Program | None]
"""Turns a fork into a supervisor."""


class Zygote:
    def __init__(self, control: socket.socket, become_supervisor: Become) -> None:
        self._control = control
        self._become_supervisor = become_supervisor
        self._base = {name.partition(".")[0] for name in sys.modules}
        """The modules that every program finds loaded."""
        self._looked_up: set[str] = set()
        """Top-level names that an import has asked for, there or not: another answer makes another module."""
        self._bytes = linux.anonymous_memory()
        """Those that it has from the runner."""

    def serve(self, order: dict[str, Any]) -> Program | None:
        """Imports, then forks on request until the runner is gone; returns only in the process of a program."""
        _become_neutral()
        self._import(order)
        while True:
            order, descriptors = self._receive()
            _reap()
            if "import" in order:
                self._grow(order, descriptors[0])
            elif "fork" in order:
                pid = _fork()
                if pid == 0:
                    self._control.close()
                    return self._become_supervisor(socket.socket(fileno=descriptors[0]))
                os.close(descriptors[0])
                self._tell(forked=max(pid, 0))

    def _grow(self, order: dict[str, Any], control: int) -> None:
        """Forks the process that takes this one's place, unless a module fails there."""
        if _fork() == 0:
            self._control.close()
            self._control = socket.socket(fileno=control)
            self._import(order)
        else:
            os.close(control)

    def _import(self, order: dict[str, Any]) -> None:
        self._tell(pid=os.getpid())
        # Also when the runner is gone, or has been stopped.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(IMPORT_LIMIT_S)
        guard = _Guard()
        sys.meta_path.insert(0, guard)
        names: list[str] = []
        for name in order["import"]:
            if name not in sys.modules:
                if names and self._is_ordered():
                    break
                self._tell(began=name)
                self._import_one(name, bool(order.get("any")))
                if self._own_memory() > order.get("limit", 1 << 60):
                    self._fail(name, "with what comes before it, it takes more memory than there is for it", over=True)
            names.append(name)
        sys.meta_path.remove(guard)
        signal.alarm(0)
        self._looked_up |= guard.names | {name.partition(".")[0] for name in sys.modules}
        self._looked_up -= self._base
        gc.collect()
        # What is there now stays: nothing of it is looked at, and so copied, by any collection to come.
        gc.freeze()
        self._tell(loaded=sorted(self._looked_up), names=names, bytes=linux.anonymous_memory(), own=self._own_memory())

    def _own_memory(self) -> int:
        return max(0, linux.anonymous_memory() - self._bytes)

    def _is_ordered(self) -> bool:
        """Whether an order waits, so that somebody may wait for what is loaded by now."""
        return bool(select.select([self._control], [], [], 0)[0])

    def _import_one(self, name: str, any_of_image: bool) -> None:
        """Ends the process when the module cannot be shared: what it has left behind would be met by programs."""
        import _thread
        import importlib
        import importlib.util

        descriptors = _open_descriptors()
        try:
            if not any_of_image and not _is_third_party(importlib.util.find_spec(name.partition(".")[0])):
                self._fail(name, "it is not one of the image's packages")
            with reseeding.Recording():
                importlib.import_module(name)
        except Shadowed:
            self._fail(name, "")
        except BaseException as error:  # noqa: BLE001 - a module may raise anything
            self._fail(name, f"{type(error).__name__}: {error}"[:_MAX_REASON])
        if _thread._count():
            self._fail(name, "it starts threads, which a fork does not have")
        if not _open_descriptors() <= descriptors:
            self._fail(name, "it keeps files open, which a fork must not share")

    def _fail(self, name: str, reason: str, over: bool = False) -> NoReturn:
        self._tell(failed=name, reason=reason, over=over)
        os._exit(0)

    def _tell(self, **message: Any) -> None:
        try:
            self._control.send(json.dumps(message).encode())
        except OSError:
            os._exit(0)

    def _receive(self) -> tuple[dict[str, Any], list[int]]:
        message, descriptors, _, _ = socket.recv_fds(self._control, MAX_MESSAGE, 1)
        if not message:
            os._exit(0)
        return json.loads(message), descriptors


class Shadowed(BaseException):
    """The session has a module of that name. No ImportError, which a module may take for a missing option."""


class _Guard:
    """Notes what is imported, and refuses what programs would import from elsewhere."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._shadows = ShadowedModules()

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> None:
        if "." not in name:
            self.names.add(name)
            if self._shadows.may_hide({name}):
                raise Shadowed(name)


def _become_neutral() -> None:
    """The environment and the streams that modules meet in a program, and nothing of the runner's among the modules."""
    os.environ.clear()
    os.environ.update(environment())
    os.chdir(WORKSPACE)
    # Modules may keep these very objects.
    ensure_standard_streams()
    sys.modules["__main__"] = types.ModuleType("__main__")
    hide_own()


def _is_third_party(spec: Any) -> bool:
    places = [spec.origin or "", *(spec.submodule_search_locations or [])] if spec else []
    return any(place.startswith(site_directories()) for place in places)


def _open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def _fork() -> int:
    """Forks as `os.fork` does; -1 where no process is to be had."""
    try:
        return os.fork()
    except OSError:
        return -1


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
