"""The table of executions: those that wait, those that run, and the processes of contexts; their input and output."""

import os
import select
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

from _glovebox.runner.execution import Execution, Pending
from _glovebox.runner.stdin_stream import StdinStream
from _glovebox.wire import frames
from _glovebox.wire.channel import Channel
from _glovebox.wire.reactor import Reactor


class Executions:
    def __init__(self, reactor: Reactor, channel: Channel, on_output: Callable[[Execution], None]) -> None:
        """`on_output` is called with an execution each time that one of its pipes was read."""
        self._reactor = reactor
        self._channel = channel
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
        return next((pending for pending in self.pending if not delays(pending.request)), None)

    def find_pending(self, stream: int) -> Pending | None:
        return next((pending for pending in self.pending if pending.stream == stream), None)

    def forget_context(self, execution: Execution) -> None:
        """Forgets the context of a process that has ended."""
        self.contexts = {name: other for name, other in self.contexts.items() if other is not execution}

    def command(self, execution: Execution, command: bytes) -> None:
        """Sends INTERRUPT or KILL to its supervisor."""
        # From here on its end is wanted.
        execution.retries = False
        execution.is_killed |= command == frames.KILL
        try:
            execution.control.send(command)
        except OSError:
            # The supervisor has ended; its report is on its way.
            pass

    def signal(self, execution: Execution, number: int) -> None:
        """Has its supervisor send a signal to the program and all that are in its process group."""
        execution.is_killed |= number == signal.SIGKILL
        try:
            execution.control.send(frames.signal_command(number))
        except OSError:
            # The supervisor has ended; its report is on its way.
            pass

    def grant(self, execution: Execution, credit: int) -> None:
        """Lets it send so many more bytes of output."""
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
        try:
            data = execution.read_output(descriptor)
        except BlockingIOError:
            return
        if data:
            # Who types waits for each character.
            send = self._channel.send if execution.body.get("kind") == "terminal" else self._channel.send_soon
            send(frames.pack(execution.outputs[descriptor], execution.stream, data))
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

    def start_stdin(self, execution: Execution, pending: Pending) -> None:
        """Streams standard input to a program: what has come already, then what still comes."""
        descriptor = execution.request
        execution.request = -1
        execution.stdin = StdinStream(
            descriptor,
            # The next control plane knows it by another number.
            grant=lambda size: self._channel.send(frames.pack(frames.CREDIT, execution.stream, size.to_bytes(4, "big"))),
            watch=lambda descriptor, wanted: self._watch_stdin(execution, descriptor, wanted),
        )
        execution.stdin.invite(granted=pending.request.get("stdin_granted", 0))
        for data in pending.early:
            if data:
                execution.stdin.deliver(data)
            else:
                execution.stdin.finish()

    def _watch_stdin(self, execution: Execution, descriptor: int, wanted: bool) -> None:
        if wanted and execution.stdin:
            stdin = execution.stdin
            self._reactor.watch(descriptor, select.EPOLLOUT, lambda _descriptor, _events: stdin.flush())
        elif self._reactor.is_watched(descriptor):
            self._reactor.unwatch(descriptor)

    def close(self) -> None:
        """Closes the sockets to supervisors, in a forked process: all executions are the parent's."""
        for execution in (*self.running.values(), *self.contexts.values()):
            execution.control.close()
        self.pending.clear()
        self.running.clear()
        self.contexts.clear()
