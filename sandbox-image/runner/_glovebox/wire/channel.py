"""The runner's end of the channel: its standard input and output, which one control plane after the other has."""

import fcntl
import os
import select
import socket
import time
from collections.abc import Callable, Iterable

from _glovebox.wire import frames
from _glovebox.wire.handover import STANDARD_STREAMS
from _glovebox.wire.reactor import Reactor

_IN = 0
_OUT = 1
_RECEIVED = 64 * 1024
"""Bytes of one reading from the control plane: as many as its pipe holds."""
_WIDE = 256 * 1024
"""The same, once much goes through the pipes: each time that one is empty or full wakes others on the way."""

_FEW = 4096
"""Bytes of frames up to which they may wait for the next one."""
_HOLD_S = 0.002
"""Seconds that they wait at most."""

OnFrame = Callable[[int, int, bytes | memoryview], None]
"""Gets the frame's type, its stream and its payload."""


class Channel:
    def __init__(self, reactor: Reactor, on_frame: OnFrame, on_end: Callable[[], None]) -> None:
        self._reactor = reactor
        self._on_frame = on_frame
        self._on_end = on_end
        self._decoder = frames.Decoder()
        self._received = bytearray(_RECEIVED)
        self._is_wide = False
        self._held = b""
        """Frames that wait for the next one."""
        self._due = 0.0
        """The monotonic time, in seconds, at which they are sent without it."""
        self._connection: socket.socket | None = None
        """The connection to the exec that the channel came with; its process ends when this is closed."""
        self.attached = True
        """Whether there is a control plane."""
        self.lost = False
        """Whether the channel broke while something was sent; it is still to be detached."""

    def listen(self) -> None:
        self._reactor.watch(_IN, select.EPOLLIN, self._on_readable)

    def _on_readable(self, descriptor: int, _events: int) -> None:
        try:
            size = os.readv(descriptor, [self._received])
        except OSError:
            # The engine broke the connection, where its end is a socket.
            size = 0
        if not size:
            self._on_end()
        for kind, stream, payload in self._decoder.feed(memoryview(self._received)[:size]):
            self._on_frame(kind, stream, payload)

    def send_soon(self, frame: bytes) -> None:
        """Sends a frame together with the next one, if that comes soon: each write wakes all on the way to the caller."""
        if len(self._held) + len(frame) > _FEW:
            self.send(frame)
        elif self.attached:
            if not self._held:
                self._due = time.monotonic() + _HOLD_S
            self._held += frame

    def wait_s(self) -> float | None:
        """Seconds until `send_due` has something to send; None if nothing waits."""
        return max(0, self._due - time.monotonic()) if self._held else None

    def send_due(self) -> None:
        """Sends what has waited long enough."""
        if self._held and time.monotonic() >= self._due:
            self.send(b"")

    def widen(self) -> None:
        """Lets the pipes of this control plane hold more, where they are pipes and their user may have as much."""
        if self._is_wide or not self.attached:
            return
        self._is_wide = True
        self._received = bytearray(_WIDE)
        for pipe in (_IN, _OUT):
            try:
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _WIDE)
            except OSError:
                pass

    def send(self, frame: bytes | memoryview) -> None:
        """Writes a whole frame. Blocks only while the control plane does not read, which it always does."""
        if self._held:
            frame = self._held + frame
            self._held = b""
        remaining = memoryview(frame)
        try:
            while remaining and self.attached:
                remaining = remaining[os.write(_OUT, remaining) :]
        except OSError:
            # Nothing more is written to it, and the rest follows after this round of events.
            self.attached = False
            self.lost = True

    def attach(self, descriptors: Iterable[int], connection: socket.socket) -> None:
        """Takes the channel of a new control plane."""
        self._connection = connection
        for stream, descriptor in zip(STANDARD_STREAMS, descriptors):
            os.dup2(descriptor, stream)
            os.close(descriptor)
        self.attached = True
        self.listen()

    def detach(self) -> None:
        """Lets go of a control plane that is gone."""
        self._held = b""
        self.attached = self.lost = False
        self._reactor.unwatch(_IN)
        close_standard_streams()
        if self._connection:
            self._connection.close()
            self._connection = None
        self._decoder = frames.Decoder()
        self._is_wide = False

    def close(self) -> None:
        """Closes the streams in a forked process, which may outlive the exec that they belong to."""
        self.attached = self.lost = False
        close_standard_streams()
        if self._connection:
            self._connection.close()


def close_standard_streams() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for stream in STANDARD_STREAMS:
        os.dup2(null, stream)
    os.close(null)
