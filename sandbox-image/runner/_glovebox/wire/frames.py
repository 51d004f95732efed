"""The channel's frames: a header of length, type and stream id, then the payload.

The control plane's half is src/protocol/frames.ts; the two change together.
"""

import json
import struct
from collections.abc import Iterator
from typing import Any

PROTOCOL_VERSION = 1
"""Counts up with every change of what frames mean, requests and reports included, that the other side would misread.

The header, CONFIGURE and the `protocol` of READY are the same in all versions.
"""

HEADER = struct.Struct(">IBI")
"""Payload length in bytes, frame type, stream id."""

# From the control plane.
START = 1
"""JSON of a request: begins the execution whose id is the stream's."""
STOP = 2
"""One byte: INTERRUPT or KILL; or SIGNAL and the number of one."""
CREDIT = 3
"""Four bytes: how many more bytes the stream may send. Either way on a tunnel, and for standard input."""

# Either way on a tunnel's stream; to a program's standard input on an execution's.
DATA = 4
FIN = 5
"""No more data comes this way."""
RESET = 6
"""The tunnel is gone, both ways."""

CONFIGURE = 7
"""JSON of settings from the control plane, on stream 0, before anything else."""
PING = 8
"""On stream 0: bytes that the runner sends back as PONG."""
ASK = 9
"""On the stream of an execution: asks what it has used. USAGE answers, or END."""

# From the runner.
READY = 16
"""JSON, once, on stream 0: the protocol's version, the interpreter, how many bytes of an execution's standard input may
come before they are granted (where its request says so, as `stdin_granted`), whether it can unpack the contents of an archive, and what an earlier control plane left."""
STDOUT = 17
STDERR = 18
END = 19
"""JSON of a report: the stream's last frame."""

OPEN = 20
"""A new tunnel. Its payload names the service: empty for the package index, `tools` for tools, `web` for other hosts."""
DISPLAY = 21
"""Rich results: bytes of a stream of JSON lines."""
NOTE = 22
"""JSON about the sandbox for the log, on stream 0."""
PONG = 23
"""The bytes of a PING, on stream 0: never sent unasked, since a control plane that sends none takes it for an attack."""
USAGE = 24
"""JSON of what an execution has used so far: `cpu_ms`, and the bytes of `stdout` and `stderr`. Never sent unasked."""

SPILLED_NAMES = {STDOUT: "stdout", STDERR: "stderr"}
"""The streams whose long output is kept in a file."""

INTERRUPT = b"i"
KILL = b"k"
WAKE = b"w"
"""Tells a supervisor that there is a request for its program; not for the channel."""

SIGNAL = b"s"
_SIGNAL_BIT = 0x80
"""Set in the byte by which a supervisor is told of a signal, beside its number."""

NEXT = b"n"
"""Tells a supervisor without a program to start the next one, with the descriptors of its pipes; not for the channel."""

NO_PROCESS = {"refused": "no process could be started: the sandbox is at its limit of processes or memory"}
"""The report of an execution that never began."""

def other_kind(is_shell: bool) -> dict[str, str]:
    """The same, of one for a context that is there and cannot run it."""
    kind = "shell" if is_shell else "interpreter"
    return {"refused": f"the context of this name is a {kind}", "context_is": kind}


STOPPED = {"refused": "stopped before it began"}
"""The same, of one that was stopped while it waited for its process."""

INITIAL_CREDIT = 256 * 1024
"""Bytes of output that a stream may send before it is granted more."""
CHUNK = 64 * 1024
"""Bytes of output in one frame, at most."""


def pack(kind: int, stream: int, payload: bytes) -> bytes:
    return HEADER.pack(len(payload), kind, stream) + payload


def pack_json(kind: int, stream: int, value: Any) -> bytes:
    # ensure_ascii keeps lone surrogates, which UTF-8 cannot carry, as escapes.
    return pack(kind, stream, json.dumps(value, separators=(",", ":")).encode())


class Decoder:
    """Cuts a byte stream into frames. The contents of DATA come in the pieces in which they were read, uncopied: each is
    a frame as good as any, until the next bytes are read into the same place."""

    def __init__(self) -> None:
        self._held = bytearray()
        """Bytes received so far of a frame that must be whole."""
        self._stream = 0
        self._left = 0
        """Bytes of a frame of DATA that are still to come."""

    def feed(self, data: bytes | memoryview) -> Iterator[tuple[int, int, bytes | memoryview]]:
        """Takes bytes as they come and yields (type, stream, payload)."""
        data = memoryview(data)
        while True:
            if self._left:
                piece, data = data[: self._left], data[self._left :]
                self._left -= len(piece)
                if piece:
                    yield DATA, self._stream, piece
                if self._left:
                    return
            data = self._hold(data, HEADER.size)
            if len(self._held) < HEADER.size:
                return
            length, kind, stream = HEADER.unpack_from(self._held)
            if kind == DATA:
                self._held.clear()
                self._stream, self._left = stream, length
                continue
            data = self._hold(data, HEADER.size + length)
            if len(self._held) < HEADER.size + length:
                return
            payload = bytes(self._held[HEADER.size :])
            self._held.clear()
            yield kind, stream, payload

    def _hold(self, data: memoryview, wanted: int) -> memoryview:
        """Adds what is wanting, as far as it has come; the rest."""
        missing = max(0, wanted - len(self._held))
        self._held += data[:missing]
        return data[missing:]


def signal_command(number: int) -> bytes:
    """The byte that has a supervisor send a signal to its program."""
    return bytes([_SIGNAL_BIT | number])


def signal_of(command: bytes) -> int | None:
    """The signal that such a byte names; None if it says something else."""
    return command[0] & ~_SIGNAL_BIT if command and command[0] & _SIGNAL_BIT else None
