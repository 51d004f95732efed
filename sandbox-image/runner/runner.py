"""The resident program of a sandbox: starts a supervised process for each execution and carries its output.

It keeps nothing that matters: whatever ends it, the control plane starts another.
"""

import faulthandler  # noqa: F401 - loaded here, so that the programs share it
import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import frames
import linux
from execution import Execution
from feed import Feed
from preload import Preload
from program import Pipes, Program
from supervisor import supervise
from tunnels import FIRST_STREAM, Tunnels

CONTROL_PLANE_IN = 0
CONTROL_PLANE_OUT = 1

SUPERVISOR_LOST = {"failed": "supervisor lost"}
"""The report of an execution whose supervisor was killed, by something of the session."""


class Runner:
    def __init__(self) -> None:
        self.poll = select.epoll()
        self.decoder = frames.Decoder()
        self.pending: list[tuple[int, dict[str, Any], bool]] = []
        """Requests that no process runs yet: stream, request, and whether they may be tried again."""
        self.spare: Execution | None = None
        """Forked ahead, so that a request need not wait for two forks."""
        self.executions: dict[int, Execution] = {}
        """Those that run, by stream."""
        self.contexts: dict[str, Execution] = {}
        """The processes of contexts, at work or not."""
        self.handlers: dict[int, Callable[[int, int], None]] = {}
        """By watched descriptor: called with (descriptor, events)."""
        self.tunnels: Tunnels | None = None
        self.preload = Preload(self.send, self.watch, self.unwatch)
        self.settled_ns = 0
        """The newest time stamp that an execution left on a file."""

    def serve(self) -> Program | None:
        """Serves the control plane until it is gone. Returns a program only in the process that is to run it."""
        linux.set_dumpable(False)
        linux.become_subreaper()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        gc.freeze()
        self.watch(CONTROL_PLANE_IN, select.EPOLLIN, self.on_control_plane)
        self.tunnels = Tunnels(self.send, self.watch, self.unwatch)
        self.send(frames.pack_json(frames.READY, 0, {"python": ".".join(map(str, sys.version_info[:3]))}))
        while True:
            if program := self.preload.grow(self.become_zygote, idle=not self.pending and not self.executions):
                return program
            at = self.next_pending()
            self.drop_unfit_spare(at)
            # At once after a launch, so that it is done beside the program just launched.
            if self.spare is None and not self.preload.forking and (program := self.fork_spare(at)):
                return program
            if at is not None and not self.preload.forking:
                self.launch(*self.pending.pop(at))
            else:
                self.serve_events()

    def next_pending(self) -> int | None:
        """The place of the first request that need not wait for modules."""
        return next((at for at, (_, request, _) in enumerate(self.pending) if not self.preload.delays(request)), None)

    def origin_for(self, at: int | None) -> int:
        """What the next process is to be forked with, for that request if there is one."""
        request = self.pending[at][1] if at is not None else None
        return self.preload.origin_for(None if request and request.get("context") in self.contexts else request)

    def drop_unfit_spare(self, at: int | None) -> None:
        if self.spare and self.spare.origin != self.origin_for(at):
            self.command(self.spare, frames.KILL)
            self.spare = None

    def serve_events(self) -> None:
        ready = self.poll.poll(self.preload.patience_s())
        self.preload.check()
        for descriptor, events in ready:
            # An earlier event of the same round may have closed it.
            if handler := self.handlers.get(descriptor):
                handler(descriptor, events)

    def on_control_plane(self, descriptor: int, _events: int) -> None:
        data = os.read(descriptor, 1 << 16)
        if not data:
            self.on_disconnect()
        for kind, stream, payload in self.decoder.feed(data):
            self.on_frame(kind, stream, payload)

    def on_disconnect(self) -> None:
        """The control plane is gone. Supervisors see their sockets close, end their programs and exit."""
        os._exit(0)

    def on_frame(self, kind: int, stream: int, payload: bytes) -> None:
        if kind == frames.START:
            self.pending.append((stream, json.loads(payload), True))
        elif kind == frames.CONFIGURE:
            self.preload.configure(json.loads(payload).get("preload"))
        elif stream >= FIRST_STREAM and self.tunnels:
            self.tunnels.on_frame(kind, stream, payload)
        elif execution := self.executions.get(stream):
            if kind == frames.STOP:
                self.command(execution, payload)
            elif kind == frames.CREDIT:
                self.grant(execution, int.from_bytes(payload, "big"))
            elif kind == frames.DATA and execution.feed:
                execution.feed.deliver(payload)
            elif kind == frames.FIN and execution.feed:
                execution.feed.finish()
        elif kind == frames.STOP:
            self.give_up(stream)
        # Else it has ended while the frame was on its way.

    def give_up(self, stream: int) -> None:
        """Ends a request that waits for its process."""
        waiting = [request for request in self.pending if request[0] != stream]
        if len(waiting) < len(self.pending):
            self.pending = waiting
            self.send(frames.pack_json(frames.END, stream, frames.STOPPED))

    def fork_spare(self, at: int | None) -> Program | None:
        """Forks a supervisor, which forks a program; returns only in the process of the program, or not at all.

        Without memory or processes for that there is no spare afterwards; with loaded modules it comes a little later.
        """
        descriptors: list[int] = []
        try:
            for _ in range(4):
                descriptors.extend(os.pipe())
            ours, theirs = socket.socketpair()
        except OSError:
            close_all(descriptors)
            return None
        request_out, request_in, stdout_out, stdout_in, stderr_out, stderr_in, display_out, display_in = descriptors
        outputs = {stdout_out: frames.STDOUT, stderr_out: frames.STDERR, display_out: frames.DISPLAY}
        pipes = Pipes(request_out, stdout_in, stderr_in, display_in)
        spare = Execution(0, ours, request_in, outputs)
        if not (self.origin_for(at) and self.preload.fork(theirs, pipes, spare, self.take_spare)):
            try:
                spare.pid = os.fork()
            except OSError:
                close_all(descriptors)
                return None
            if spare.pid == 0:
                # Held here too, they would hide the runner's end from the supervisor, and the end of the request.
                ours.close()
                close_all((request_in, *outputs))
                return self.become_supervisor(theirs, pipes)
            self.take_spare(spare)
        theirs.close()
        close_all(pipes)
        return None

    def take_spare(self, spare: Execution) -> None:
        self.spare = spare
        self.watch(spare.control.fileno(), select.EPOLLIN, partial(self.on_supervisor, spare))

    def become_supervisor(self, control: socket.socket, pipes: Pipes) -> Program | None:
        """In the forked process."""
        try:
            self.let_go((control.fileno(), *pipes))
            return supervise(control, pipes)
        except BaseException as error:  # noqa: BLE001 - nothing may unwind into the runner's own code
            os.write(2, f"supervisor: {error!r}\n".encode())
            os._exit(70)

    def become_zygote(self, control: socket.socket, order: dict[str, Any]) -> Program | None:
        """In the forked process; returns only in that of a program, which this one has forked."""
        try:
            self.let_go((control.fileno(),))
            # Here, so that a runner without one need not have its memory.
            from zygote import Zygote

            return Zygote(control, self.become_supervisor).serve(order)
        except BaseException as error:  # noqa: BLE001 - as above
            os.write(2, f"zygote: {error!r}\n".encode())
            os._exit(70)

    def let_go(self, kept: Iterable[int]) -> None:
        """Keeps only what belongs to this process, so that siblings' pipes can end."""
        # Sockets go with their objects, which would otherwise close these numbers again later.
        self.poll.close()
        self.handlers.clear()
        self.executions.clear()
        self.contexts.clear()
        self.pending.clear()
        self.spare = None
        self.tunnels = None
        self.preload = Preload(self.send, self.watch, self.unwatch)
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, CONTROL_PLANE_IN)
        os.dup2(null, CONTROL_PLANE_OUT)
        bounds = sorted((2, *kept, os.sysconf("SC_OPEN_MAX")))
        for below, above in zip(bounds, bounds[1:]):
            os.closerange(below + 1, above)

    def launch(self, stream: int, request: dict[str, Any], may_retry: bool) -> None:
        """Hands a request to its context's process, else to the spare."""
        name = request.get("context")
        if "end_context" in request:
            self.end_context(request["end_context"])
        execution = self.alive(self.contexts.get(name)) if name else None
        if execution is None:
            if self.spare and not self.alive(self.spare):
                # It has ended while it waited, by something of the session.
                self.pending.insert(0, (stream, request, may_retry))
                return
            execution, self.spare = self.spare, None
            if execution:
                execution.fresh = True
                execution.retries = may_retry and not request.get("stdin_stream")
        if execution is None or execution.stream:
            self.send(frames.pack_json(frames.END, stream, frames.NO_PROCESS))
            return
        if name:
            self.contexts[name] = execution
        self.executions[stream] = execution
        try:
            # An earlier execution may have stopped it while it waited.
            os.kill(execution.pid, signal.SIGCONT)
            execution.control.send(frames.WAKE)
            execution.begin(stream, request, self.settled_ns)
        except (BrokenPipeError, ProcessLookupError):
            # Something of the session has killed it; its supervisor reports that, or its silence does.
            execution.stream, execution.body = stream, request
        if request.get("stdin_stream"):
            self.start_feed(execution)
        elif not name:
            execution.close_request()
        self.watch_outputs(execution)

    def alive(self, execution: Execution | None) -> Execution | None:
        """The same, unless it has ended: a process that waits for a request has nothing else to say."""
        if execution and not execution.stream and select.select([execution.control], [], [], 0)[0]:
            self.on_supervisor(execution, 0, 0)
            self.forget(execution)
            return None
        return execution

    def start_feed(self, execution: Execution) -> None:
        stream, descriptor = execution.stream, execution.request
        execution.request = -1
        execution.feed = Feed(
            descriptor,
            grant=lambda size: self.send(frames.pack(frames.CREDIT, stream, size.to_bytes(4, "big"))),
            watch=lambda descriptor, wanted: self.watch_feed(execution, descriptor, wanted),
        )
        # Only now: input that came before its process would have nowhere to wait.
        execution.feed.invite()

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
        self.reap()

    def forget(self, execution: Execution) -> None:
        """Lets go of a process that has ended and has no run to report, a spare too that something has killed."""
        if execution is self.spare:
            self.spare = None
        self.contexts = {name: other for name, other in self.contexts.items() if other is not execution}
        self.unwatch_outputs(execution)
        execution.close()

    def reap(self) -> None:
        """Collects supervisors of earlier executions, and what was orphaned by ones that were killed."""
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
        self.preload.reap()

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
            self.pending.append((stream, request, False))
            return
        imported = report.pop("imported", None)
        self.settled_ns = max(self.settled_ns, report.pop("settled_ns", 0))
        if execution.context:
            report["context_alive"] = alive
            report["context_created"] = execution.fresh
        execution.fresh = False
        if kept := execution.finish_kept():
            report["kept"] = kept
        self.send(frames.pack_json(frames.END, stream, report))
        self.preload.learn(imported, bool(report.get("oom_killed")))

    def command(self, execution: Execution, command: bytes) -> None:
        # From here on its end is wanted.
        execution.retries = False
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
        while remaining:
            remaining = remaining[os.write(CONTROL_PLANE_OUT, remaining) :]


def close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
