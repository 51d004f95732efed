"""The event loop: who is called when something comes on a descriptor."""

import select
from collections.abc import Callable

Handler = Callable[[int, int], None]
"""Gets the descriptor and the events (`select.EPOLLIN`, …)."""


class Reactor:
    def __init__(self) -> None:
        self._poll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        """Handlers by watched descriptor."""
        self._events: dict[int, int] = {}
        """What each is watched for."""

    def watch(self, descriptor: int, events: int, handler: Handler) -> None:
        """Calls back while any of the events is there; 0 watches for errors only. A later call changes the events alone."""
        if descriptor not in self._handlers:
            self._poll.register(descriptor, events)
            self._handlers[descriptor] = handler
        elif self._events[descriptor] != events:
            self._poll.modify(descriptor, events)
        self._events[descriptor] = events

    def unwatch(self, descriptor: int) -> None:
        """Needed before a descriptor that others hold too is closed: it would stay watched."""
        self._poll.unregister(descriptor)
        del self._handlers[descriptor], self._events[descriptor]

    def is_watched(self, descriptor: int) -> bool:
        return descriptor in self._handlers

    def wait(self, limit_s: float | None) -> list[tuple[int, int]]:
        """Descriptors with their events, as soon as there are any, and at the latest after so many seconds."""
        return self._poll.poll(limit_s)

    def dispatch(self, ready: list[tuple[int, int]]) -> None:
        """Calls the handlers of one round."""
        meant = [(descriptor, events, self._handlers.get(descriptor)) for descriptor, events in ready]
        for descriptor, events, handler in meant:
            # An earlier event of the same round may have closed it, and something else may have its number now.
            if handler and self._handlers.get(descriptor) is handler:
                handler(descriptor, events)

    def close(self) -> None:
        """Watches nothing any more, in a forked process too: its parent's loop is not touched."""
        self._poll.close()
        self._handlers.clear()
        self._events.clear()
