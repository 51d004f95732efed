"""The pipe by which a process gets its requests: each is JSON, after its length."""

import json
import os
import struct
from typing import Any

_SIZE = struct.Struct("=Q")
"""Before each request, its length in bytes."""


def write_request(descriptor: int, request: dict[str, Any]) -> None:
    """Raises BrokenPipeError when the process is dead."""
    data = json.dumps(request).encode()
    with open(descriptor, "wb", buffering=0, closefd=False) as pipe:
        remaining = memoryview(_SIZE.pack(len(data)) + data)
        while remaining:
            remaining = remaining[pipe.write(remaining) :]


def read_request(descriptor: int) -> dict[str, Any] | None:
    """The next request, in the program's process; None when there will be none. Reads nothing beyond it."""
    header = _read_exactly(descriptor, _SIZE.size)
    data = _read_exactly(descriptor, _SIZE.unpack(header)[0]) if header else None
    return json.loads(data) if data else None


def _read_exactly(descriptor: int, size: int) -> bytes | None:
    parts: list[bytes] = []
    while size:
        part = os.read(descriptor, min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
