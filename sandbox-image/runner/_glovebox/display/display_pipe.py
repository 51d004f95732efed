"""The pipe that results go to, and its budget."""

import os
from _thread import RLock
from collections.abc import Callable
from typing import Any

MAX_RESULTS = 100
"""Results of one execution; further ones are only counted."""
_ROOM_FOR_NOTE = 256
_LEAST_ROOM = 256

Fit = Callable[[dict[str, Any], int], bytes | None]
"""Makes a line of at most so many bytes of a mime bundle, if anything of it can be shown."""


class DisplayPipe:
    """The results of one execution, and what is left of their budget (bytes of JSON text)."""

    def __init__(self, descriptor: int, limit: int, total: int, fit: Fit) -> None:
        self._descriptor = descriptor
        self._identity = _identify(descriptor)
        self._fit = fit
        self._limit = limit
        self._left = total - _ROOM_FOR_NOTE
        self._count = 0
        self._left_out = 0
        self._torn = False
        self._owner = os.getpid()
        self._lock = RLock()

    def is_own(self) -> bool:
        """False in a process that the code has forked: its results would mix with its parent's."""
        return self._owner == os.getpid()

    def put(self, bundle: dict[str, Any]) -> None:
        # The code's own methods run in `fit`: never under the lock.
        room = min(self._limit, self._left)
        line = self._fit(bundle, room) if self._count < MAX_RESULTS and room >= _LEAST_ROOM else None
        with self._lock:
            if line is None or len(line) > self._left or self._count >= MAX_RESULTS:
                self._left_out += 1
                return
            self._count += 1
            self._left -= len(line)
            self._write(line)

    def note_left_out(self) -> None:
        with self._lock:
            if self._left_out:
                number, self._left_out = self._left_out, 0
                what = "result" if number == 1 else "results"
                self._write(b'{"text": "\\u2026 %d more %s left out \\u2026"}\n' % (number, what.encode()))

    def _write(self, line: bytes) -> None:
        if _identify(self._descriptor) != self._identity:
            # The code has closed it, and may have opened a file of its own under that number.
            return
        # An exception of a signal handler may have torn the line before: it ends here, as garbage.
        remaining = memoryview(b"\n" + line if self._torn else line)
        self._torn = True
        try:
            while remaining:
                remaining = remaining[os.write(self._descriptor, remaining) :]
        except OSError:
            return
        self._torn = False


def _identify(descriptor: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino
