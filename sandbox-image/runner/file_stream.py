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

from file_tree import Refused, refusal_of

LONGEST_LINE = 64 * 1024
CHUNK = 64 * 1024


class Input:
    """What the control plane sends, cut into chunks."""

    def __init__(self, descriptor: int) -> None:
        self._file = open(descriptor, "rb", buffering=CHUNK, closefd=False)
        self._held = b""
        """The chunk under way."""
        self._at = 0
        """How much of it has been taken."""
        self._ended = False

    def chunks(self) -> Iterator[bytes]:
        while length := int.from_bytes(self._whole(4), "big"):
            yield self._whole(length)

    def line(self) -> bytes | None:
        """The next line; None when everything has come."""
        line = b""
        while (end := self._held.find(b"\n", self._at)) < 0:
            line += self._held[self._at :]
            if len(line) > LONGEST_LINE:
                raise Refused("invalid_input", "An entry is described at too great length.")
            if not self._more():
                if line:
                    raise Refused("invalid_input", "The stream of entries ends in the midst of one.")
                return None
        line += self._held[self._at : end]
        self._at = end + 1
        return line

    def copy_to(self, incoming: Any, size: int) -> None:
        """Gives `incoming.write` the next bytes as they come."""
        while size > 0:
            if self._at == len(self._held) and not self._more():
                raise Refused("invalid_input", "The stream of entries ends in the midst of one.")
            data = memoryview(self._held)[self._at : self._at + size]
            self._at += len(data)
            size -= len(data)
            incoming.write(data)

    def _more(self) -> bool:
        """Holds the next chunk instead of one that has been taken; False when there is none."""
        self._held, self._at = b"", 0
        if not self._ended:
            length = int.from_bytes(self._whole(4), "big")
            self._ended = length == 0
            self._held = self._whole(length)
        return not self._ended

    def _whole(self, length: int) -> bytes:
        data = self._file.read(length)
        if len(data) < length:
            # Cut off. Whoever sent it is gone, and so is what came of it, with this process.
            sys.exit(1)
        return data


def send(data: bytes) -> None:
    remaining = memoryview(data)
    while remaining:
        remaining = remaining[os.write(1, remaining) :]


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
    # ASCII only: a name that is no UTF-8 has escapes for the bytes that are none.
    send(json.dumps(value, separators=(",", ":")).encode() + b"\n")
