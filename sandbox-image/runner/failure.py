"""What is reported of an uncaught exception. Imported only when there is one."""

import errno
import linecache
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import _ast

import missing
from paths import WORKSPACE

MAX_TRACEBACK = 64 * 1024
"""Most characters of a traceback that are reported; its end says most."""
MAX_VALUE = 4096
_MAX_CAUSES = 20
_OTHER_DISKS = {"tmp": "/tmp", "shm": "/dev/shm"}
"""Small ones beside the workspace, by what they are reported as."""
_LONGEST_SOURCE = 256 * 1024
"""Most characters that are compiled anew to say what is wrong with them."""

_DENIALS = {
    errno.EFBIG: "file_size",
    errno.ENETUNREACH: "network",
    errno.EHOSTUNREACH: "network",
    errno.EMFILE: "open_files",
}


def report(error: BaseException, tell: Callable[[dict[str, Any]], None]) -> None:
    """Tells `{name, value, traceback, denied?, hint?, missing?}`.

    `denied` is the limit of the sandbox that stands behind it; `hint` is "notebook" for a script that is a cell;
    `missing` names the module that was not found, and the package that brings it.
    """
    text = "".join(traceback.format_exception(error))
    body: dict[str, Any] = {
        "name": type(error).__name__,
        "value": _text_of(error)[:MAX_VALUE],
        "traceback": text[-MAX_TRACEBACK:],
    }
    if denied := next(filter(None, map(_denied, _causes(error))), None):
        body["denied"] = denied
    if type(error) is SyntaxError and _is_cell(error):
        body["hint"] = "notebook"
    if wanted := _missing(error):
        body["missing"] = wanted
    tell(body)


def _missing(error: BaseException) -> dict[str, Any] | None:
    try:
        return missing.find(error, _causes(error))
    except Exception:  # noqa: BLE001 - the code may have replaced anything that this takes; the rest is told without it
        return None


def _is_cell(error: SyntaxError) -> bool:
    """Whether the script itself does not compile, and would but for lines and awaits that only notebooks know."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    if error.__traceback__ is not None or error.filename is None or error.filename != script:
        return False
    lines = linecache.getlines(error.filename)
    if next((line for line in lines if line.strip()), "").startswith("%%"):
        return True
    source = "".join(map(_without_magic, lines))
    if len(source) > _LONGEST_SOURCE:
        return False
    try:
        compile(source, error.filename, "exec", _ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except Exception:  # noqa: BLE001 - whatever the compiler has against it, it is no cell
        return False
    return True


def _without_magic(line: str) -> str:
    code = line.lstrip()
    return f"{line[: -len(code)]}pass\n" if code.startswith(("!", "%")) else line


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
    if _is_full(WORKSPACE):
        return "disk"
    return next((name for name, path in _OTHER_DISKS.items() if _is_full(path)), "disk")


def _is_full(path: str) -> bool:
    try:
        room = os.statvfs(path)
    except OSError:
        return False
    return room.f_bavail == 0 or room.f_favail == 0


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - __str__ is the program's own
        return "<exception str() failed>"
