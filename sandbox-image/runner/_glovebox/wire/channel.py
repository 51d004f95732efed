"""The runner's end of the channel: its standard input and output, which one control plane after the other has."""

import os
import select
import socket
from collections.abc import Callable, Iterable

from _glovebox.wire import frames
from _glovebox.wire.handover import STANDARD_STREAMS
from _glovebox.wire.reactor import Reactor

_IN = 0
_OUT = 1
_RECEIVED = 64 * 1024
"""Bytes of one reading from the control plane: as many as its pipe holds."""

OnFrame = Callable[[int, int, bytes | memoryview], None]
"""Gets the frame's type, its stream and its payload."""


class Channel:
    def __init__(self, reactor: Reactor, on_frame: OnFrame, on_end: Callable[[], None]) -> None:
        self._reactor = reactor
        self._on_frame = on_frame
        self._on_end = on_end
        self._decoder = frames.Decoder()
        self._received = bytearray(_RECEIVED)
        self._connection: socket.socket | None = None
        """The connection to the exec that the channel came with; its process ends when this is closed."""
        self.attached = True
        """Whether there is a control plane."""
        self.lost = False
        """Whether the channel broke while something was sent; it is still to be detached."""

    def listen(self) -> None:
        self._reactor.watch(_IN, select.EPOLLIN, self._on_readable)

    def _on_readable(self, descriptor: int, _events: int) -> None:
        size = os.readv(descriptor, [self._received])
        if not size:
            self._on_end()
        for kind, stream, payload in self._decoder.feed(memoryview(self._received)[:size]):
            self._on_frame(kind, stream, payload)

    def send(self, frame: bytes) -> None:
        """Writes a whole frame. Blocks only while the control plane does not read, which it always does."""
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
        self.attached = self.lost = False
        self._reactor.unwatch(_IN)
        close_standard_streams()
        if self._connection:
            self._connection.close()
            self._connection = None
        self._decoder = frames.Decoder()

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
