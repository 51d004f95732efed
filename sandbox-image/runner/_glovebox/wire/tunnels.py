"""TCP connections of the sandbox's loopback, carried over the channel: how code reaches the package index, tools and the web.

There is no network besides: what a tunnel leads to is the control plane's choice alone.
"""

import select
import socket
from collections.abc import Callable
from typing import Any

from _glovebox.paths import INDEX_ADDRESS, TOOLS_ADDRESS, WEB_ADDRESS
from _glovebox.wire import frames
from _glovebox.wire.listener import Listener
from _glovebox.wire.reactor import Reactor

FIRST_STREAM = 1 << 31
"""Streams that the runner opens; those below are the control plane's."""
MAX_TUNNELS = 64
"""Open at once to each service."""
MAX_WEB_TUNNELS = 96
"""Open at once to the web. More than one execution may have, which the control plane refuses with a reason."""
WEB_WINDOW = 1024 * 1024
"""Bytes that may be on their way to a connection to the web: with fewer, the control plane would wait for each grant."""
GRANTED_PART = 4
"""A connection takes this part of its window before the control plane is let send as much again: each grant wakes all on the
way."""
INDEX_SERVICE = b""
"""What OPEN says of a tunnel to the package index."""
WEB_SERVICE = b"web"
CONFIGURED = {"tools": TOOLS_ADDRESS, "web": WEB_ADDRESS}
"""Addresses of the services that a control plane has to ask for, by their names: another one would take such a tunnel for an attack."""

CHUNK = 128 * 1024
"""Most bytes in one frame. What else there is to send waits for it."""
MUCH = 1024 * 1024
"""Bytes of one connection from which the pipes of the channel are to hold more."""

Send = Callable[[bytes | memoryview], None]
"""Sends a frame, whose memory is not used after that."""


class Tunnel:
    """One accepted connection. Either side may end its half first."""

    def __init__(self, tunnels: "Tunnels", service: bytes, stream: int, connection: socket.socket) -> None:
        self.tunnels = tunnels
        self.service = service
        self.stream = stream
        self.connection = connection
        self.credit = frames.INITIAL_CREDIT
        """Bytes that may go to the control plane."""
        self.outgoing = bytearray()
        """Bytes from the control plane that the connection has not taken yet; bounded by the credit given."""
        self.window = WEB_WINDOW if service == WEB_SERVICE else frames.INITIAL_CREDIT
        self.taken = self.window - frames.INITIAL_CREDIT
        """Bytes that the connection has taken, or could take from the start, and that are not granted yet."""
        self.carried = 0
        """Bytes, both ways."""
        self.read_open = True
        self.write_open = True
        self.finishing = False
        """The control plane has ended its half; what is in `outgoing` is the rest."""

    def on_events(self, _descriptor: int, events: int) -> None:
        try:
            if events & select.EPOLLOUT:
                self.flush()
            if events & select.EPOLLIN and self.read_open:
                self.receive()
            elif events & (select.EPOLLERR | select.EPOLLHUP):
                # Both halves are gone: nobody reads what is still to be written.
                self.reset()
                return
        except OSError:
            self.reset()
            return
        self.update()

    def receive(self) -> None:
        frame = self.tunnels.frame
        size = self.connection.recv_into(frame[frames.HEADER.size :][: self.credit])
        if size:
            self.credit -= size
            self.count(size)
            frames.HEADER.pack_into(frame, 0, size, frames.DATA, self.stream)
            self.tunnels.send(frame[: frames.HEADER.size + size])
        else:
            self.read_open = False
            self.tunnels.send(frames.pack(frames.FIN, self.stream, b""))

    def count(self, size: int) -> None:
        self.carried += size
        if self.carried >= MUCH:
            self.tunnels.widen()

    def deliver(self, data: bytes | memoryview) -> None:
        self.count(len(data))
        try:
            # Most of what comes is taken at once, without a copy.
            sent = 0 if self.outgoing else self.connection.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.reset()
            return
        self.taken += sent
        if sent < len(data):
            self.outgoing += data[sent:]
        self.on_events(0, select.EPOLLOUT)

    def finish(self) -> None:
        self.finishing = True
        self.on_events(0, select.EPOLLOUT)

    def grant(self, credit: int) -> None:
        self.credit += credit
        self.update()

    def flush(self) -> None:
        """Writes what the connection takes."""
        try:
            while self.outgoing:
                with memoryview(self.outgoing) as outgoing:
                    sent = self.connection.send(outgoing)
                del self.outgoing[:sent]
                self.taken += sent
        except BlockingIOError:
            pass
        self.grant_taken()
        if self.finishing and self.write_open and not self.outgoing:
            self.write_open = False
            self.connection.shutdown(socket.SHUT_WR)

    def grant_taken(self) -> None:
        """Lets the control plane send as much again as has been taken, if that is worth a frame."""
        if self.taken >= self.window // GRANTED_PART:
            self.tunnels.send(frames.pack(frames.CREDIT, self.stream, self.taken.to_bytes(4, "big")))
            self.taken = 0

    def update(self) -> None:
        """Watches for what can be done next; closes when both halves have ended."""
        if not self.read_open and not self.write_open:
            self.close()
            return
        wanted = select.EPOLLIN if self.read_open and self.credit > 0 else 0
        if self.outgoing:
            wanted |= select.EPOLLOUT
        self.tunnels.reactor.watch(self.connection.fileno(), wanted, self.on_events)

    def reset(self) -> None:
        self.tunnels.send(frames.pack(frames.RESET, self.stream, b""))
        self.close()

    def close(self) -> None:
        self.tunnels.forget(self)
        self.connection.close()


class Tunnels:
    def __init__(self, send: Send, reactor: Reactor, widen: Callable[[], None]) -> None:
        self.send = send
        self.reactor = reactor
        self.widen = widen
        self.frame = memoryview(bytearray(frames.HEADER.size + CHUNK))
        """The memory of a frame of DATA, until it is sent."""
        self.open: dict[int, Tunnel] = {}
        self.last_stream = FIRST_STREAM
        self.index = self._listener(INDEX_ADDRESS, INDEX_SERVICE)
        self.configured = {name: self._listener(address, name.encode()) for name, address in CONFIGURED.items()}

    def _listener(self, address: tuple[str, int], service: bytes) -> Listener:
        return Listener(address, self.reactor, lambda connection: self.accept(connection, service))

    def listen(self) -> None:
        """Takes connections to the package index from now on."""
        self.index.listen()

    def configure(self, configuration: dict[str, Any]) -> None:
        """Takes connections to the services that this control plane has."""
        for name, listener in self.configured.items():
            if configuration.get(name) is True:
                listener.listen()
            else:
                listener.close()

    def suspend(self) -> None:
        """Without a control plane there is nothing to reach: open connections end, new ones wait for the next one."""
        for listener in (self.index, *self.configured.values()):
            listener.suspend()
        for tunnel in list(self.open.values()):
            tunnel.close()

    def resume(self) -> None:
        """Takes connections to the index for a new control plane; those to other services when it asks for them."""
        self.index.resume()

    def close(self) -> None:
        """Closes the sockets in a forked process: the connections are the parent's."""
        for held in (self.index, *self.configured.values(), *(tunnel.connection for tunnel in self.open.values())):
            held.close()

    def accept(self, connection: socket.socket, service: bytes) -> None:
        most = MAX_WEB_TUNNELS if service == WEB_SERVICE else MAX_TUNNELS
        if sum(tunnel.service == service for tunnel in self.open.values()) >= most:
            connection.close()
            return
        connection.setblocking(False)
        try:
            # An answer comes in pieces, and none may wait until the code has acknowledged the one before.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            # The code has closed it already.
            connection.close()
            return
        self.last_stream += 1
        tunnel = self.open[self.last_stream] = Tunnel(self, service, self.last_stream, connection)
        self.send(frames.pack(frames.OPEN, tunnel.stream, service))
        tunnel.grant_taken()
        tunnel.update()

    def on_frame(self, kind: int, stream: int, payload: bytes | memoryview) -> None:
        """Obeys the control plane. A tunnel that is no longer there was closed while the frame was on its way."""
        tunnel = self.open.get(stream)
        if tunnel is None:
            return
        if kind == frames.DATA:
            tunnel.deliver(payload)
        elif kind == frames.CREDIT:
            tunnel.grant(int.from_bytes(payload, "big"))
        elif kind == frames.FIN:
            tunnel.finish()
        elif kind == frames.RESET:
            tunnel.close()

    def forget(self, tunnel: Tunnel) -> None:
        self.reactor.unwatch(tunnel.connection.fileno())
        del self.open[tunnel.stream]
