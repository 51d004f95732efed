"""How bytes of files travel between this process and the control plane.

The answer is a line of JSON, `{"ok": true, …}` or `{"error": {code, message}}`, then bytes if there are any.
What is sent comes on stdin in chunks: their length in four bytes, big-endian, then that many bytes. A chunk of length 0
says that all has come; an input that just ends was cut off, and nothing is made of it.
"""

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from _glovebox.files.file_tree import Refused, refusal_of

LONGEST_LINE = 64 * 1024
CHUNK = 64 * 1024
_READ = 256 * 1024
"""Most bytes of one reading of what is sent."""
PAGE = 4096
"""Bytes that a file of the sandbox takes at least, and a hole in it."""
_ZEROS = bytes(CHUNK)


class Input:
    """Reads what the control plane sends. One buffer serves all chunks: a new one would cost more than reading."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = bytearray(_READ)
        self._at = self._end = 0
        """The part of it that was read and not taken."""
        self._left = 0
        """Bytes of the chunk under way that were not taken."""
        self._ended = False

    def pieces(self) -> Iterator[memoryview]:
        """Yields everything that comes, piece by piece. A piece is valid until the next one is asked for."""
        while self._more():
            yield self._take(_READ)

    def line(self) -> bytes | None:
        """The next line; None when everything has come."""
        line = b""
        while self._more():
            last = min(self._end, self._at + self._left)
            found = self._buffer.find(b"\n", self._at, last)
            line += self._take((last if found < 0 else found + 1) - self._at)
            if found >= 0:
                return line[:-1]
            if len(line) > LONGEST_LINE:
                raise Refused("invalid_input", "An entry is described at too great length.")
        if line:
            raise Refused("invalid_input", "The stream of entries ends in the midst of one.")
        return None

    def copy_to(self, incoming: Any, size: int) -> None:
        """Gives `incoming.write` the next bytes as they come."""
        while size > 0:
            if not self._more():
                raise Refused("invalid_input", "The stream of entries ends in the midst of one.")
            piece = self._take(size)
            size -= len(piece)
            incoming.write(piece)

    def fill(self, target: memoryview) -> None:
        """Fills a buffer with the next bytes."""
        at = 0
        while at < len(target):
            if not self._more():
                raise Refused("invalid_input", "The stream of entries ends in the midst of one.")
            piece = self._take(len(target) - at)
            target[at : at + len(piece)] = piece
            at += len(piece)

    def whole(self, size: int, spare: memoryview) -> memoryview:
        """The next bytes: where they were read to, if they are there already, else in `spare`."""
        if size <= min(self._left, self._end - self._at):
            return self._take(size)
        self.fill(spare[:size])
        return spare[:size]

    def _more(self) -> bool:
        """Has something of a chunk at hand; False when everything has come."""
        while self._left == 0 and not self._ended:
            self._left = int.from_bytes(self._exactly(4), "big")
            self._ended = self._left == 0
        if self._left > 0:
            self._fill()
        return self._left > 0

    def _take(self, most: int) -> memoryview:
        size = min(most, self._left, self._end - self._at)
        piece = memoryview(self._buffer)[self._at : self._at + size]
        self._at += size
        self._left -= size
        return piece

    def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            self._fill()
            end = min(self._end, self._at + length - len(data))
            data += self._buffer[self._at : end]
            self._at = end
        return data

    def _fill(self) -> None:
        if self._at < self._end:
            return
        self._at, self._end = 0, os.readv(self._descriptor, [self._buffer])
        if self._end == 0:
            # Cut off. Whoever sent it is gone, and so is what came of it, with this process.
            sys.exit(1)


def send(data: bytes | memoryview) -> None:
    remaining = memoryview(data)
    while remaining:
        remaining = remaining[os.write(1, remaining) :]


class Output:
    """Sends what is small together: each write wakes the runner, and becomes a frame of its own."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(CHUNK))
        self._held = 0

    def send(self, data: bytes | memoryview) -> None:
        if self._held + len(data) > len(self._buffer):
            self.flush()
        if len(data) >= len(self._buffer):
            send(data)
        else:
            self._buffer[self._held : self._held + len(data)] = data
            self._held += len(data)

    def describe(self, value: dict[str, Any]) -> None:
        self.send(_as_line(value))

    def flush(self) -> None:
        held, self._held = self._held, 0
        send(self._buffer[:held])


def write_sparse(descriptor: int, data: memoryview, grain: int = CHUNK) -> bool:
    """Writes, and leaves holes where `grain` bytes are nothing but zeros. Returns whether it ends with a hole."""
    begun = 0
    for at in range(0, len(data), grain):
        end = min(at + grain, len(data))
        # A look at both ends spares the comparison of nearly all that is no hole.
        if data[at] or data[end - 1] or data[at:end].tobytes() != _ZEROS[: end - at]:
            continue
        _write(descriptor, data[begun:at])
        os.lseek(descriptor, end - at, os.SEEK_CUR)
        begun = end
    _write(descriptor, data[begun:])
    return begun == len(data)


def _write(descriptor: int, remaining: memoryview) -> None:
    while remaining:
        remaining = remaining[os.write(descriptor, remaining) :]


class Refusing:
    """Answers with what went wrong within it, if something did, and ends with code 1."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, BrokenPipeError):
            # Nobody reads the answer any more.
            sys.exit(1)
        if isinstance(error, OSError):
            error = refusal_of(error, self._path)
        if isinstance(error, Refused):
            answer({"error": {"code": error.code, "message": error.message}})
            sys.exit(1)


def answer(value: dict[str, Any]) -> None:
    send(_as_line(value))


def _as_line(value: dict[str, Any]) -> bytes:
    # ASCII only: a name that is no UTF-8 has escapes for the bytes that are none.
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
