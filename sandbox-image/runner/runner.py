"""The resident program of a sandbox: starts a supervised process for each execution and carries its output.

It keeps nothing that matters: whatever ends it, the control plane starts another.
"""

import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import frames
import linux
from program import Program
from supervisor import supervise
from tunnels import FIRST_STREAM, Tunnels

CONTROL_PLANE_IN = 0
CONTROL_PLANE_OUT = 1


class Execution:
    """One execution as the runner sees it: its supervisor's socket, where its request goes, and two pipes of output.

    A spare one waits for its request.
    """

    def __init__(self, pid: int, control: socket.socket, request: int, stdout: int, stderr: int) -> None:
        self.stream = 0
        self.body: dict[str, Any] = {}
        """The request that it got."""
        self.pid = pid
        self.control = control
        self.request = request
        self.outputs = {stdout: frames.STDOUT, stderr: frames.STDERR}
        """Frame type by descriptor, for the pipes not yet at their end."""
        self.credit = frames.INITIAL_CREDIT
        self.report = bytearray()
        self.ended = False


class Runner:
    def __init__(self) -> None:
        self.poll = select.epoll()
        self.decoder = frames.Decoder()
        self.pending: list[tuple[int, dict[str, Any]]] = []
        """Requests, with their streams, that no process runs yet."""
        self.spare: Execution | None = None
        """Forked ahead, so that a request need not wait for two forks."""
        self.executions: dict[int, Execution] = {}
        self.handlers: dict[int, Callable[[int, int], None]] = {}
        """By watched descriptor: called with (descriptor, events)."""
        self.tunnels: Tunnels | None = None
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
            # At once after a launch, so that it is done beside the program just launched.
            if self.spare is None and (program := self.fork_spare()):
                return program
            if self.pending:
                self.launch(*self.pending.pop(0))
            else:
                self.serve_events()

    def serve_events(self) -> None:
        for descriptor, events in self.poll.poll():
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
            self.pending.append((stream, json.loads(payload)))
        elif stream >= FIRST_STREAM and self.tunnels:
            self.tunnels.on_frame(kind, stream, payload)
        elif execution := self.executions.get(stream):
            if kind == frames.STOP:
                self.command(execution, payload)
            elif kind == frames.CREDIT:
                self.grant(execution, int.from_bytes(payload, "big"))
        # Else it has ended while the frame was on its way.

    def fork_spare(self) -> Program | None:
        """Forks a supervisor, which forks a program; returns only in the process of the program, or not at all.

        Without memory or processes for that there is no spare afterwards.
        """
        descriptors: list[int] = []
        try:
            for _ in range(3):
                descriptors.extend(os.pipe())
            ours, theirs = socket.socketpair()
            pid = os.fork()
        except OSError:
            for descriptor in descriptors:
                os.close(descriptor)
            return None
        request_out, request_in, stdout_out, stdout_in, stderr_out, stderr_in = descriptors
        if pid == 0:
            # Held here too, they would hide the runner's end from the supervisor, and the end of the request.
            ours.close()
            for descriptor in (request_in, stdout_out, stderr_out):
                os.close(descriptor)
            return self.become_supervisor(theirs, request_out, stdout_in, stderr_in)
        theirs.close()
        for descriptor in (request_out, stdout_in, stderr_in):
            os.close(descriptor)
        self.spare = Execution(pid, ours, request_in, stdout_out, stderr_out)
        self.watch(ours.fileno(), select.EPOLLIN, partial(self.on_readable, self.spare))
        return None

    def become_supervisor(self, control: socket.socket, request: int, stdout: int, stderr: int) -> Program | None:
        """In the forked process: keeps only what belongs to this execution, so that siblings' pipes can end."""
        try:
            # Sockets go with their objects, which would otherwise close these numbers again later.
            self.poll.close()
            self.handlers.clear()
            self.executions.clear()
            self.tunnels = None
            null = os.open("/dev/null", os.O_RDWR)
            os.dup2(null, CONTROL_PLANE_IN)
            os.dup2(null, CONTROL_PLANE_OUT)
            kept = sorted((2, control.fileno(), request, stdout, stderr, os.sysconf("SC_OPEN_MAX")))
            for below, above in zip(kept, kept[1:]):
                os.closerange(below + 1, above)
            return supervise(control, request, stdout, stderr)
        except BaseException as error:  # noqa: BLE001 - nothing may unwind into the runner's own code
            os.write(2, f"supervisor: {error!r}\n".encode())
            os._exit(70)

    def launch(self, stream: int, request: dict[str, Any]) -> None:
        """Hands a request to the spare."""
        execution, self.spare = self.spare, None
        if execution and select.select([execution.control], [], [], 0)[0]:
            # It has ended while it waited, by something of the session.
            self.unwatch(execution.control.fileno())
            execution.control.close()
            self.discard_spare(execution)
            self.pending.insert(0, (stream, request))
            return
        if execution is None:
            self.send(frames.pack_json(frames.END, stream, frames.NO_PROCESS))
            return
        execution.stream = stream
        execution.body = request
        self.executions[stream] = execution
        self.watch_outputs(execution)
        try:
            with open(execution.request, "wb") as pipe:
                # An earlier execution may have stopped it while it waited.
                os.kill(execution.pid, signal.SIGCONT)
                execution.control.send(frames.WAKE)
                pipe.write(json.dumps({**request, "settled_ns": self.settled_ns}).encode())
        except (BrokenPipeError, ProcessLookupError):
            # Something of the session has killed it; its supervisor reports that, or its silence does.
            pass

    def on_readable(self, execution: Execution, descriptor: int, _events: int) -> None:
        kind = execution.outputs.get(descriptor)
        if kind is None:
            self.on_report(execution, descriptor)
            return
        data = os.read(descriptor, min(frames.CHUNK, execution.credit))
        if data:
            self.send(frames.pack(kind, execution.stream, data))
            execution.credit -= len(data)
            if execution.credit == 0:
                # Not watched at all: the end of a pipe would be told even to a watcher of nothing.
                for output in execution.outputs:
                    self.unwatch(output)
            return
        del execution.outputs[descriptor]
        self.unwatch(descriptor)
        os.close(descriptor)
        self.finish_if_done(execution)

    def on_report(self, execution: Execution, descriptor: int) -> None:
        try:
            data = execution.control.recv(1 << 16)
        except ConnectionResetError:
            # Its supervisor was killed before it had read all that it was sent.
            data = b""
        if data:
            execution.report += data
            return
        execution.ended = True
        self.unwatch(descriptor)
        execution.control.close()
        if execution is self.spare:
            self.discard_spare(execution)
        else:
            self.finish_if_done(execution)
        self.reap()

    def reap(self) -> None:
        """Collects supervisors of earlier executions, and what was orphaned by ones that were killed."""
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass

    def discard_spare(self, execution: Execution) -> None:
        """Something of the session has killed it before it got a request."""
        self.spare = None
        for descriptor in (execution.request, *execution.outputs):
            os.close(descriptor)

    def finish_if_done(self, execution: Execution) -> None:
        """Sends the end once the supervisor is gone and every byte of output is on its way.

        A supervisor that was killed, or that could not end all, leaves processes that hold the pipes open:
        then the end goes out at once, and the control plane clears the sandbox.
        """
        if not execution.ended:
            return
        report = json.loads(execution.report) if execution.report else {"failed": "supervisor lost"}
        if execution.outputs and report.get("survivors") is False:
            return
        for descriptor in list(execution.outputs):
            if descriptor in self.handlers:
                self.unwatch(descriptor)
            os.close(descriptor)
        del self.executions[execution.stream]
        if report.pop("started", True) is False and not execution.body.get("again"):
            # Killed in the moment in which it got the request: nothing of that has run.
            self.pending.append((execution.stream, {**execution.body, "again": True}))
            return
        self.settled_ns = max(self.settled_ns, report.pop("settled_ns", 0))
        self.send(frames.pack_json(frames.END, execution.stream, report))

    def command(self, execution: Execution, command: bytes) -> None:
        # From here on its end is wanted.
        execution.body["again"] = True
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
            self.watch(output, select.EPOLLIN, partial(self.on_readable, execution))

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
