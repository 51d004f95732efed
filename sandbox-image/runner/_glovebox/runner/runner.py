"""The resident program of a sandbox: starts a supervised process for each execution and carries its output.

Whatever ends it, the control plane starts another; contexts and background executions end with it.
"""

import faulthandler  # noqa: F401 - loaded here, so that the programs share it
import gc
import json
import os
import select
import signal
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from _glovebox import linux
from _glovebox.program.program import Program
from _glovebox.runner import memory_kills
from _glovebox.runner.detached import Keeper
from _glovebox.runner.executions import Execution, Pending
from _glovebox.runner.preload import Preload
from _glovebox.runner.standby import Spares
from _glovebox.runner.stdin_stream import Feed
from _glovebox.wire import frames
from _glovebox.wire.handover import STANDARD_STREAMS, Door
from _glovebox.wire.tunnels import FIRST_STREAM, Tunnels

CONTROL_PLANE_IN = 0
CONTROL_PLANE_OUT = 1

RECEIVED = 64 * 1024
"""Bytes of one reading from the control plane: as many as its pipe holds."""

SUPERVISOR_LOST = {"failed": "supervisor lost"}
"""The report of an execution whose supervisor was killed, by something of the session."""


class Runner:
    def __init__(self, door: Door | None) -> None:
        self.poll = select.epoll()
        self.decoder = frames.Decoder()
        self.received = bytearray(RECEIVED)
        self.pending: list[Pending] = []
        """Requests that no process runs yet."""
        self.executions: dict[int, Execution] = {}
        """Those that run, by stream."""
        self.contexts: dict[str, Execution] = {}
        """The processes of contexts, at work or not."""
        self.handlers: dict[int, Callable[[int, int], None]] = {}
        """By watched descriptor: called with (descriptor, events)."""
        self.tunnels: Tunnels | None = None
        self.preload = Preload(self.send, self.watch, self.unwatch)
        self.spares = Spares(self)
        self.settled_ns = 0
        """The newest time stamp that an execution left on a file."""
        self.keeper = Keeper(self, door)

    def serve(self) -> Program | None:
        """Serves one control plane after the other. Returns a program only in the process that is to run it."""
        linux.become_subreaper()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.hear_children()
        gc.freeze()
        self.watch(CONTROL_PLANE_IN, select.EPOLLIN, self.on_control_plane)
        self.tunnels = Tunnels(self.send, self.watch, self.unwatch)
        self.keeper.greet({})
        while True:
            if program := self.preload.grow(self.spares.become_zygote, idle=not self.pending and not self.executions):
                return program
            at = self.next_pending()
            # At once after a launch, so that it is done beside the program just launched.
            if program := self.spares.prepare(self.pending[at].request if at is not None else None):
                return program
            if at is not None and not self.preload.forking:
                self.launch(self.pending.pop(at))
            else:
                self.serve_events()

    def next_pending(self) -> int | None:
        """The place of the first request that need not wait for modules, or for the files that it is to find."""
        if any(execution.restores for execution in self.executions.values()):
            return None
        return next((at for at, waits in enumerate(self.pending) if not self.preload.delays(waits.request)), None)

    def serve_events(self) -> None:
        ready = self.poll.poll(nearer(self.preload.patience_s(), self.keeper.wait_s(), self.spares.patience_s()))
        self.preload.check()
        for descriptor, events in ready:
            # An earlier event of the same round may have closed it.
            if handler := self.handlers.get(descriptor):
                handler(descriptor, events)
        self.keeper.tick()

    def on_control_plane(self, descriptor: int, _events: int) -> None:
        size = os.readv(descriptor, [self.received])
        if not size:
            self.keeper.detach()
        for kind, stream, payload in self.decoder.feed(memoryview(self.received)[:size]):
            self.on_frame(kind, stream, payload)

    def on_frame(self, kind: int, stream: int, payload: bytes | memoryview) -> None:
        if kind == frames.START:
            self.pending.append(Pending(stream, json.loads(bytes(payload))))
        elif kind == frames.CONFIGURE:
            self.preload.configure(json.loads(bytes(payload)).get("preload"))
        elif stream >= FIRST_STREAM and self.tunnels:
            self.tunnels.on_frame(kind, stream, payload)
        elif execution := self.executions.get(stream):
            if kind == frames.STOP:
                self.command(execution, bytes(payload))
            elif kind == frames.CREDIT:
                self.grant(execution, int.from_bytes(payload, "big"))
            elif kind == frames.DATA and execution.feed:
                execution.feed.deliver(payload)
            elif kind == frames.FIN and execution.feed:
                execution.feed.finish()
        elif waits := next((waits for waits in self.pending if waits.stream == stream), None):
            if kind == frames.STOP:
                self.pending.remove(waits)
                self.refuse(waits, frames.STOPPED)
            elif kind in (frames.DATA, frames.FIN):
                waits.early.append(bytes(payload))
        # Else it has ended while the frame was on its way.

    def refuse(self, waits: Pending, report: dict[str, str]) -> None:
        """Ends a request that no process has begun."""
        self.keeper.end(None, waits.stream, waits.request, dict(report))

    def let_go(self, kept: Iterable[int]) -> None:
        """Keeps only what belongs to this process, so that siblings' pipes can end."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # Sockets go with their objects, which would otherwise close these numbers again later.
        self.poll.close()
        self.handlers.clear()
        self.executions.clear()
        self.contexts.clear()
        self.pending.clear()
        self.tunnels = None
        self.preload = Preload(self.send, self.watch, self.unwatch)
        self.spares.ready = self.spares.reserve = None
        self.keeper = Keeper(self, None)
        null = os.open(os.devnull, os.O_RDWR)
        # It may outlive the exec that these belong to.
        for stream in STANDARD_STREAMS:
            os.dup2(null, stream)
        bounds = sorted((2, *kept, os.sysconf("SC_OPEN_MAX")))
        for below, above in zip(bounds, bounds[1:]):
            os.closerange(below + 1, above)

    def launch(self, waits: Pending) -> None:
        """Hands a request to its context's process, else to the spare."""
        stream, request = waits.stream, waits.request
        name = request.get("context")
        if "end_context" in request:
            self.end_context(request["end_context"])
        execution = self.alive(self.contexts.get(name)) if name else None
        if execution is None:
            if self.spares.ready and not self.alive(self.spares.ready):
                # It has ended while it waited, by something of the session.
                self.pending.insert(0, waits)
                return
            execution = self.spares.take()
            if execution:
                execution.fresh = True
                execution.retries = waits.may_retry and not request.get("stdin_stream")
        if execution is None or execution.stream:
            self.refuse(waits, frames.NO_PROCESS)
            return
        if name:
            self.contexts[name] = execution
        self.executions[stream] = execution
        memory_kills.begin(execution, self.executions.values())
        try:
            # An earlier execution may have stopped it while it waited.
            os.kill(execution.pid, signal.SIGCONT)
            execution.control.send(frames.WAKE)
            execution.begin(stream, request, self.settled_ns)
        except (BrokenPipeError, ProcessLookupError):
            # Something of the session has killed it; its supervisor reports that, or its silence does.
            execution.stream, execution.body = stream, request
        if request.get("stdin_stream"):
            self.start_feed(execution, waits)
        elif not name:
            execution.close_request()
        self.watch_outputs(execution)
        self.keeper.keep(execution)

    def alive(self, execution: Execution | None) -> Execution | None:
        """The same, unless it has ended: a process that waits for a request has nothing else to say."""
        if execution and not execution.stream and select.select([execution.control], [], [], 0)[0]:
            self.on_supervisor(execution, 0, 0)
            self.forget(execution)
            return None
        return execution

    def start_feed(self, execution: Execution, waits: Pending) -> None:
        stream, descriptor = execution.stream, execution.request
        execution.request = -1
        execution.feed = Feed(
            descriptor,
            grant=lambda size: self.send(frames.pack(frames.CREDIT, stream, size.to_bytes(4, "big"))),
            watch=lambda descriptor, wanted: self.watch_feed(execution, descriptor, wanted),
        )
        execution.feed.invite(granted=waits.request.get("stdin_granted", 0))
        for data in waits.early:
            if data:
                execution.feed.deliver(data)
            else:
                execution.feed.finish()

    def watch_feed(self, execution: Execution, descriptor: int, wanted: bool) -> None:
        if wanted and execution.feed:
            feed = execution.feed
            self.watch(descriptor, select.EPOLLOUT, lambda _descriptor, _events: feed.flush())
        elif descriptor in self.handlers:
            self.unwatch(descriptor)

    def end_context(self, name: str) -> None:
        """Ends an idle context; what it still says interests nobody."""
        if execution := self.contexts.pop(name, None):
            self.command(execution, frames.KILL)

    def on_output(self, execution: Execution, descriptor: int, _events: int) -> None:
        data = execution.read_output(descriptor)
        if data:
            self.send(frames.pack(execution.outputs[descriptor], execution.stream, data))
            if execution.credit == 0:
                # Not watched at all: the end of a pipe would be told even to a watcher of nothing.
                self.unwatch_outputs(execution)
        elif data is None:
            self.unwatch(descriptor)
        else:
            self.unwatch(descriptor)
            del execution.outputs[descriptor]
            os.close(descriptor)
        self.finish_if_done(execution)

    def on_supervisor(self, execution: Execution, _descriptor: int, _events: int) -> None:
        for report in execution.read_reports():
            self.on_report(execution, report)
        if execution.ended:
            self.on_end(execution)

    def on_report(self, execution: Execution, report: dict[str, Any]) -> None:
        if not execution.stream:
            # It had nothing to say but that it ends, which it may not have done yet.
            self.forget(execution)
            return
        execution.report = report
        if report.get("alive"):
            execution.owe_what_is_there()
        self.finish_if_done(execution)

    def on_end(self, execution: Execution) -> None:
        """A supervisor is gone, with a report or without one."""
        self.unwatch(execution.control.fileno())
        execution.control.close()
        if execution.stream:
            self.finish_if_done(execution)
        if not execution.stream:
            self.forget(execution)
        # Those of others than the runner's own.
        self.preload.reap()

    def forget(self, execution: Execution) -> None:
        """Lets go of a process that has ended and has no run to report, a spare too that something has killed."""
        self.spares.forget(execution)
        self.contexts = {name: other for name, other in self.contexts.items() if other is not execution}
        self.unwatch_outputs(execution)
        execution.close()

    def hear_children(self) -> None:
        """Has each child's end come as an event: a supervisor closes its socket a little before it is gone."""
        heard, told = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        self.watch(heard, select.EPOLLIN, self.reap)

    def reap(self, heard: int, _events: int) -> None:
        """Collects supervisors of earlier executions, and what was orphaned by ones that were killed."""
        os.read(heard, 1 << 12)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass

    def finish_if_done(self, execution: Execution) -> None:
        """Sends the end of a run once it is known and every byte of output is on its way.

        A supervisor that was killed, or that could not end all, leaves processes that hold the pipes open:
        then the end goes out at once, and the control plane clears the sandbox.
        """
        report = execution.report or (dict(SUPERVISOR_LOST) if execution.ended else None)
        if report is None or not execution.stream:
            return
        if not execution.delivered and report.get("survivors") is False:
            return
        self.unwatch_outputs(execution)
        stream, request, retries = execution.stream, execution.body, execution.retries
        del self.executions[stream]
        execution.stream = 0
        execution.retries = False
        alive = report.pop("alive", False)
        if not alive:
            if execution.feed:
                execution.feed.close()
            self.forget(execution)
        if report.get("started") is False and retries:
            # Killed in the moment in which it got the request: nothing of that has run.
            self.keeper.release(execution)
            self.pending.append(Pending(stream, request, may_retry=False))
            return
        memory_kills.settle(execution, report, self.executions.values())
        imported = report.pop("imported", None)
        self.settled_ns = max(self.settled_ns, report.pop("settled_ns", 0))
        if execution.context:
            report["context_alive"] = alive
            report["context_created"] = execution.fresh
        execution.fresh = False
        if kept := execution.finish_kept():
            report["kept"] = kept
        self.keeper.end(execution, stream, request, report)
        self.preload.learn(imported, bool(report.get("oom_killed")))

    def command(self, execution: Execution, command: bytes) -> None:
        # From here on its end is wanted.
        execution.retries = False
        execution.is_killed |= command == frames.KILL
        try:
            execution.control.send(command)
        except OSError:
            # The supervisor has ended; its report is on its way.
            pass

    def grant(self, execution: Execution, credit: int) -> None:
        if execution.credit == 0:
            self.watch_outputs(execution)
        execution.credit += credit

    def watch_outputs(self, execution: Execution) -> None:
        for output in execution.outputs:
            self.watch(output, select.EPOLLIN, partial(self.on_output, execution))

    def unwatch_outputs(self, execution: Execution) -> None:
        for output in execution.outputs:
            if output in self.handlers:
                self.unwatch(output)

    def watch(self, descriptor: int, events: int, handler: Callable[[int, int], None]) -> None:
        if descriptor in self.handlers:
            self.poll.modify(descriptor, events)
        else:
            self.poll.register(descriptor, events)
            self.handlers[descriptor] = handler

    def unwatch(self, descriptor: int) -> None:
        self.poll.unregister(descriptor)
        del self.handlers[descriptor]

    def send(self, frame: bytes) -> None:
        """Writes a whole frame. Blocks only while the control plane does not read, which it always does."""
        remaining = memoryview(frame)
        try:
            while remaining and self.keeper.attached:
                remaining = remaining[os.write(CONTROL_PLANE_OUT, remaining) :]
        except OSError:
            self.keeper.lose()


def nearer(*limits_s: float | None) -> float | None:
    """The least, in seconds; None is without end."""
    return min((limit for limit in limits_s if limit is not None), default=None)
