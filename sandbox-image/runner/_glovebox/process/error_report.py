"""What is reported of an uncaught exception. Imported only when there is one."""

import errno
import os
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from _glovebox.packages import missing_module
from _glovebox.paths import WORKSPACE
from _glovebox.process.error_hints import advice_for

MAX_TRACEBACK = 64 * 1024
"""Characters of a traceback that are reported, from its end, which says most."""
MAX_VALUE = 4096
_MAX_CAUSES = 20
_DISKS = {"disk": WORKSPACE, "tmp": "/tmp", "shm": "/dev/shm"}
"""By what they are reported as."""
_NO_ROOM = 1 / 128
"""Part of a disk that may be free although it was full: what was removed since, such as a temporary file of something else."""

_DENIALS = {
    errno.EFBIG: "file_size",
    errno.ENETUNREACH: "network",
    errno.EHOSTUNREACH: "network",
    errno.EMFILE: "open_files",
}


def report(error: BaseException, tell: Callable[[dict[str, Any]], None]) -> None:
    """Tells `{name, value, traceback, denied?, hint?, missing?}`.

    `denied` is the limit of the sandbox that stands behind it; `hint` a kind of `error_hints.py`; `missing` names the module
    that was not found, and the package that brings it.
    """
    text = "".join(traceback.format_exception(error))
    body: dict[str, Any] = {
        "name": type(error).__name__,
        "value": _text_of(error)[:MAX_VALUE],
        "traceback": text[-MAX_TRACEBACK:],
    }
    if denied := next(filter(None, map(_denied, _causes(error))), None):
        body["denied"] = denied
    if hint := advice_for(error):
        body["hint"] = hint
    if wanted := _missing(error):
        body["missing"] = wanted
    tell(body)


def _missing(error: BaseException) -> dict[str, Any] | None:
    try:
        return missing_module.find(error, _causes(error))
    except Exception:  # noqa: BLE001 - the code may have replaced anything that this takes; the rest is told without it
        return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from, the nearest first; libraries wrap what the kernel says."""
    current: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if current is None:
            return
        yield current
        yield from (arg for arg in current.args if isinstance(arg, BaseException))
        reason = getattr(current, "reason", None)
        if isinstance(reason, BaseException):
            yield reason
        current = current.__cause__ or current.__context__


def _denied(error: BaseException) -> str | None:
    if isinstance(error, MemoryError):
        return "memory"
    # A name that cannot be resolved: there is no resolver, for there is no network.
    if type(error).__name__ == "gaierror":
        return "network"
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return "pids"
    if isinstance(error, OSError):
        # What fork answers at the limit of processes.
        if isinstance(error, BlockingIOError) and error.errno == errno.EAGAIN and error.filename is None:
            return "pids"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _full_disk()
        return _DENIALS.get(error.errno or 0)
    return None


def _full_disk() -> str:
    """Which disk it is that has no room. An error in writing names no file, so each is asked."""
    rooms = {name: _room(path) for name, path in _DISKS.items()}
    fullest = min(rooms, key=lambda name: rooms[name])
    return fullest if rooms[fullest] < _NO_ROOM else "disk"


def _room(path: str) -> float:
    """The part of a disk that is free, in bytes or in files."""
    try:
        room = os.statvfs(path)
    except OSError:
        return 1
    return min(room.f_bavail / max(room.f_blocks, 1), room.f_favail / room.f_files if room.f_files else 1)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - __str__ is the program's own
        return "<exception str() failed>"
