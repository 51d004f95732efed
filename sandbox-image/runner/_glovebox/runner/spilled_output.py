"""Long output, kept whole in the session: a result carries only its head and its tail."""

import os
from typing import Any

from _glovebox.paths import OUTPUTS

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class SpilledOutput:
    """One stream of one execution. Nothing is written before there is more than a result carries."""

    def __init__(self, keep: dict[str, Any], name: str) -> None:
        """`keep` has the execution's `id`, the bytes `inline` that a result carries, and at most `limit` to keep."""
        self._path = f"{OUTPUTS}/{keep['id']}.{name}"
        self._inline: int = keep["inline"]
        self._limit: int = keep["limit"]
        self._total: int = keep["total"]
        self._held: list[bytes] = []
        self._seen = 0
        self._written = 0
        self._descriptor = -1
        self._closed = False

    def add(self, data: bytes) -> None:
        self._seen += len(data)
        if self._closed:
            return
        if self._descriptor < 0:
            self._held.append(data)
            if self._seen <= self._inline:
                return
            data = b"".join(self._held)
            self._held.clear()
            if not self._open():
                return
        self._write(data[: self._limit - self._written])

    def finish(self) -> dict[str, Any] | None:
        """Path in the workspace, bytes there and bytes of the whole stream, if there is a file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._closed = True
        if self._written == 0:
            return None
        path = os.path.relpath(self._path, os.path.dirname(os.path.dirname(OUTPUTS)))
        return {"path": path, "bytes": self._written, "total": self._seen}

    def _open(self) -> bool:
        try:
            os.makedirs(OUTPUTS, mode=0o700, exist_ok=True)
            _make_room(self._total - self._limit)
            self._descriptor = os.open(self._path, _FLAGS, 0o600)
        except OSError:
            self._closed = True
        return not self._closed

    def _write(self, data: bytes) -> None:
        remaining = memoryview(data)
        try:
            while remaining:
                written = os.write(self._descriptor, remaining)
                self._written += written
                remaining = remaining[written:]
        except OSError:
            # The disk is full: what is kept so far stays.
            self._closed = True
        if self._written >= self._limit:
            self._closed = True


def _make_room(most: int) -> None:
    """Removes the oldest outputs until the rest takes no more than that."""
    with os.scandir(OUTPUTS) as entries:
        files = [(entry.stat(follow_symlinks=False), entry.path) for entry in entries]
    size = sum(stat.st_size for stat, _ in files)
    for stat, path in sorted(files, key=lambda file: file[0].st_mtime_ns):
        if size <= most:
            return
        os.unlink(path)
        size -= stat.st_size
