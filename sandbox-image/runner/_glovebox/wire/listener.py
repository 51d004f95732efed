"""A port of the sandbox's loopback on which the runner takes connections of the code."""

import select
import socket
from collections.abc import Callable

from _glovebox.wire.reactor import Reactor

BACKLOG = 64
"""Connections that may wait at once. Code that calls from many threads opens as many together."""


class Listener:
    def __init__(self, address: tuple[str, int], reactor: Reactor, accept: Callable[[socket.socket], None]) -> None:
        self._address = address
        self._reactor = reactor
        self._accept = accept
        self._socket: socket.socket | None = None

    def listen(self) -> None:
        """Takes connections from now on."""
        if self._socket is None:
            try:
                self._socket = socket.create_server(self._address, backlog=BACKLOG)
            except OSError:
                # Something of the session holds the address. Code runs all the same; whoever connects finds out.
                return
            self._socket.setblocking(False)
        self.resume()

    def suspend(self) -> None:
        """Lets new connections wait."""
        if self._socket and self._reactor.is_watched(self._socket.fileno()):
            self._reactor.unwatch(self._socket.fileno())

    def resume(self) -> None:
        if self._socket:
            self._reactor.watch(self._socket.fileno(), select.EPOLLIN, self._on_connection)

    def close(self) -> None:
        """Takes no more connections. In a forked process, whose loop watches nothing, the parent still does."""
        if self._socket:
            self.suspend()
            self._socket.close()
            self._socket = None

    def _on_connection(self, _descriptor: int, _events: int) -> None:
        if self._socket is None:
            return
        try:
            connection, _ = self._socket.accept()
        except OSError:
            # It has gone away already, or there is no descriptor left for it.
            return
        self._accept(connection)
