"""All executions of a runner: who waits, who runs, and the processes of contexts; their input and their output."""

import os
import select
from collections.abc import Callable
from functools import partial
from typing import Any

from _glovebox.runner.execution import Execution, Pending
from _glovebox.runner.stdin_stream import Feed
from _glovebox.wire import frames
from _glovebox.wire.reactor import Reactor


class Executions:
    def __init__(self, reactor: Reactor, send: Callable[[bytes], None], on_output: Callable[[Execution], None]) -> None:
        """`on_output` is called with an execution each time that one of its pipes was read."""
        self._reactor = reactor
        self._send = send
        self._on_output = on_output
        self.pending: list[Pending] = []
        """Requests that no process runs yet."""
        self.running: dict[int, Execution] = {}
        """Those that run, by stream."""
        self.contexts: dict[str, Execution] = {}
        """The processes of contexts, at work or not."""

    @property
    def idle(self) -> bool:
        return not self.pending and not self.running

    def next_pending(self, delays: Callable[[dict[str, Any]], bool]) -> Pending | None:
        """The first request that need not wait for modules, or for the files that it is to find."""
        if any(execution.restores for execution in self.running.values()):
            return None
        return next((waits for waits in self.pending if not delays(waits.request)), None)

    def find_pending(self, stream: int) -> Pending | None:
        return next((waits for waits in self.pending if waits.stream == stream), None)

    def forget_context(self, execution: Execution) -> None:
        """Of a process that has ended, if it is a context's."""
        self.contexts = {name: other for name, other in self.contexts.items() if other is not execution}

    def command(self, execution: Execution, command: bytes) -> None:
        """INTERRUPT or KILL."""
        # From here on its end is wanted.
        execution.retries = False
        execution.is_killed |= command == frames.KILL
        try:
            execution.control.send(command)
        except OSError:
            # The supervisor has ended; its report is on its way.
            pass

    def grant(self, execution: Execution, credit: int) -> None:
        """Lets it send so many bytes more."""
        if execution.credit == 0:
            self.watch_outputs(execution)
        execution.credit += credit

    def watch_outputs(self, execution: Execution) -> None:
        for output in execution.outputs:
            self._reactor.watch(output, select.EPOLLIN, partial(self._carry_output, execution))

    def unwatch_outputs(self, execution: Execution) -> None:
        for output in execution.outputs:
            if self._reactor.is_watched(output):
                self._reactor.unwatch(output)

    def _carry_output(self, execution: Execution, descriptor: int, _events: int) -> None:
        data = execution.read_output(descriptor)
        if data:
            self._send(frames.pack(execution.outputs[descriptor], execution.stream, data))
            if execution.credit == 0:
                # Not watched at all: the end of a pipe would be told even to a watcher of nothing.
                self.unwatch_outputs(execution)
        elif data is None:
            self._reactor.unwatch(descriptor)
        else:
            self._reactor.unwatch(descriptor)
            del execution.outputs[descriptor]
            os.close(descriptor)
        self._on_output(execution)

    def start_feed(self, execution: Execution, waits: Pending) -> None:
        """Streams standard input to a program: what has come already, and what is still to come."""
        stream, descriptor = execution.stream, execution.request
        execution.request = -1
        execution.feed = Feed(
            descriptor,
            grant=lambda size: self._send(frames.pack(frames.CREDIT, stream, size.to_bytes(4, "big"))),
            watch=lambda descriptor, wanted: self._watch_feed(execution, descriptor, wanted),
        )
        execution.feed.invite(granted=waits.request.get("stdin_granted", 0))
        for data in waits.early:
            if data:
                execution.feed.deliver(data)
            else:
                execution.feed.finish()

    def _watch_feed(self, execution: Execution, descriptor: int, wanted: bool) -> None:
        if wanted and execution.feed:
            feed = execution.feed
            self._reactor.watch(descriptor, select.EPOLLOUT, lambda _descriptor, _events: feed.flush())
        elif self._reactor.is_watched(descriptor):
            self._reactor.unwatch(descriptor)

    def close(self) -> None:
        """In a forked process: all of them are the parent's."""
        for execution in (*self.running.values(), *self.contexts.values()):
            execution.control.close()
        self.pending.clear()
        self.running.clear()
        self.contexts.clear()
