"""What a result does not carry whole, kept as files of the workspace."""

import itertools
import os
from collections.abc import Callable
from typing import Any

MAX_ORIGINALS = 20
"""Files that one execution leaves behind."""
MOST_BYTES = 256 << 20
MOST_OF_DISK = 4
"""All files together take at most so many bytes, and this part of the disk."""

workspace = ""
_kept: list[str] = []
_names = itertools.count(1)
_token = ""


def begin() -> None:
    """Begins an execution: as many originals as ever may be kept of it."""
    _kept.clear()


def keep(write: Callable[[Any], Any], extension: str) -> dict[str, Any] | None:
    """Has the original written to a file: `{"path": below the workspace, "size": bytes}`, or None, as when the disk is full."""
    global _token
    if len(_kept) >= MAX_ORIGINALS:
        return None
    _token = _token or os.urandom(4).hex()
    relative = f".glovebox/results/{os.getpid()}-{_token}-{next(_names)}.{extension}"
    path = f"{workspace}/{relative}"
    _kept.append(path)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "xb") as file:
            write(file)
        size = os.path.getsize(path)
        _make_room(os.path.dirname(path))
        return {"path": relative, "size": size}
    except BaseException as error:
        try:
            os.unlink(path)
        except OSError:
            pass
        if not isinstance(error, Exception):
            raise
        return None


def _make_room(folder: str) -> None:
    """Removes the oldest originals of earlier executions until all take no more than they may.

    Raises OSError if that is not enough.
    """
    disk = os.statvfs(folder)
    most = min(MOST_BYTES, disk.f_blocks * disk.f_frsize // MOST_OF_DISK)
    with os.scandir(folder) as entries:
        files = [(entry.stat(follow_symlinks=False), entry.path) for entry in entries]
    size = sum(stat.st_size for stat, _ in files)
    for stat, path in sorted(files, key=lambda file: file[0].st_mtime_ns):
        if size > most and path not in _kept:
            os.unlink(path)
            size -= stat.st_size
    if size > most:
        raise OSError("no room")
