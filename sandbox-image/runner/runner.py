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
from typing import Any

import frames
import linux
from program import Program
from supervisor import supervise

CONTROL_PLANE_IN = 0
CONTROL_PLANE_OUT = 1


class Execution:
    """One execution as the runner sees it: two pipes of output and the supervisor's socket."""

    def __init__(self, stream: int, pid: int, control: socket.socket, outputs: dict[int, int]) -> None:
        self.stream = stream
        self.pid = pid
        self.control = control
        self.outputs = outputs
        """Frame type by descriptor, for the pipes not yet at their end."""
        self.credit = frames.INITIAL_CREDIT
        self.report = bytearray()
        self.ended = False


class Runner:
    def __init__(self) -> None:
        self.poll = select.epoll()
        self.decoder = frames.Decoder()
        self.executions: dict[int, Execution] = {}
        self.by_descriptor: dict[int, Execution] = {}
        self.settled_ns = 0

    def serve(self) -> Program | None:
        """Serves the control plane until it is gone. Returns a program only in the process that is to run it."""
        linux.set_dumpable(False)
        linux.become_subreaper()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        gc.freeze()
        self.poll.register(CONTROL_PLANE_IN, select.EPOLLIN)
        self.send(frames.pack_json(frames.READY, 0, {"python": ".".join(map(str, sys.version_info[:3]))}))
        while True:
            for descriptor, _ in self.poll.poll():
                if descriptor == CONTROL_PLANE_IN:
                    data = os.read(CONTROL_PLANE_IN, 1 << 16)
                    if not data:
                        return self.on_disconnect()
                    for kind, stream, payload in self.decoder.feed(data):
                        program = self.on_frame(kind, stream, payload)
                        if program:
                            return program
                elif execution := self.by_descriptor.get(descriptor):
                    self.on_readable(execution, descriptor)

    def on_disconnect(self) -> None:
        """The control plane is gone. Supervisors see their sockets close, end their programs and exit."""
        os._exit(0)

    def on_frame(self, kind: int, stream: int, payload: bytes) -> Program | None:
        if kind == frames.START:
            return self.start(stream, json.loads(payload))
        execution = self.executions.get(stream)
        if execution is None:
            # It ended while the frame was on its way.
            return None
        if kind == frames.STOP:
            self.command(execution, payload)
        elif kind == frames.CREDIT:
            self.grant(execution, int.from_bytes(payload, "big"))
        return None

    def start(self, stream: int, request: dict[str, Any]) -> Program | None:
        """Forks an execution's supervisor; returns a program only in the process that is to run it."""
        descriptors: list[int] = []
        try:
            for _ in range(2):
                descriptors.extend(os.pipe())
            ours, theirs = socket.socketpair()
            try:
                pid = os.fork()
            except OSError:
                ours.close()
                theirs.close()
                raise
        except OSError as error:
            for descriptor in descriptors:
                os.close(descriptor)
            self.send(frames.pack_json(frames.END, stream, {"failed": f"{type(error).__name__}: {error}"}))
            return None
        stdout_out, stdout_in, stderr_out, stderr_in = descriptors
        if pid == 0:
            # Held here too, it would hide the runner's end from the supervisor.
            ours.close()
            return self.become_supervisor(request, theirs, stdout_in, stderr_in)
        theirs.close()
        os.close(stdout_in)
        os.close(stderr_in)
        outputs = {stdout_out: frames.STDOUT, stderr_out: frames.STDERR}
        execution = Execution(stream, pid, ours, outputs)
        self.executions[stream] = execution
        for descriptor in (*outputs, ours.fileno()):
            self.by_descriptor[descriptor] = execution
            self.poll.register(descriptor, select.EPOLLIN)
        return None

    def become_supervisor(
        self, request: dict[str, Any], control: socket.socket, stdout: int, stderr: int
    ) -> Program | None:
        """In the forked process: keeps only what belongs to this execution, so that siblings' pipes can end."""
        try:
            self.poll.close()
            for execution in self.executions.values():
                execution.control.close()
                for descriptor in execution.outputs:
                    os.close(descriptor)
            null = os.open("/dev/null", os.O_RDWR)
            os.dup2(null, CONTROL_PLANE_IN)
            os.dup2(null, CONTROL_PLANE_OUT)
            os.close(null)
            self.executions.clear()
            self.by_descriptor.clear()
            return supervise(request, control, stdout, stderr, self.settled_ns)
        except BaseException as error:  # noqa: BLE001 - nothing may unwind into the runner's own code
            os.write(2, f"supervisor: {error!r}\n".encode())
            os._exit(70)

    def on_readable(self, execution: Execution, descriptor: int) -> None:
        kind = execution.outputs.get(descriptor)
        if kind is None:
            self.on_report(execution, descriptor)
            return
        data = os.read(descriptor, min(frames.CHUNK, execution.credit))
        if data:
            self.send(frames.pack(kind, execution.stream, data))
            execution.credit -= len(data)
            if execution.credit == 0:
                for output in execution.outputs:
                    self.poll.modify(output, 0)
            return
        del execution.outputs[descriptor]
        self.forget(descriptor)
        os.close(descriptor)
        self.finish_if_done(execution)

    def on_report(self, execution: Execution, descriptor: int) -> None:
        data = execution.control.recv(1 << 16)
        if data:
            execution.report += data
            return
        execution.ended = True
        self.forget(descriptor)
        execution.control.close()
        self.finish_if_done(execution)
        # After the end is on its way: the supervisor's own exit takes longer than its report.
        os.waitpid(execution.pid, 0)

    def finish_if_done(self, execution: Execution) -> None:
        """Sends the end once the supervisor is gone and every byte of output is on its way.

        A supervisor that was killed, or that could not end all, leaves processes that hold the pipes open:
        then the end goes out at once, and the control plane clears the sandbox.
        """
        if not execution.ended:
            return
        report = json.loads(execution.report) if execution.report else {"failed": "supervisor lost"}
        if execution.outputs and not report.get("failed") and not report["survivors"]:
            return
        for descriptor in list(execution.outputs):
            self.forget(descriptor)
            os.close(descriptor)
        del self.executions[execution.stream]
        self.settled_ns = max(self.settled_ns, report.pop("settled_ns", 0))
        self.send(frames.pack_json(frames.END, execution.stream, report))

    def command(self, execution: Execution, command: bytes) -> None:
        try:
            execution.control.send(command)
        except OSError:
            # The supervisor has ended; its report is on its way.
            pass

    def grant(self, execution: Execution, credit: int) -> None:
        if execution.credit == 0:
            for output in execution.outputs:
                self.poll.modify(output, select.EPOLLIN)
        execution.credit += credit

    def forget(self, descriptor: int) -> None:
        self.poll.unregister(descriptor)
        del self.by_descriptor[descriptor]

    def send(self, frame: bytes) -> None:
        """Writes a whole frame. Blocks only while the control plane does not read, which it always does."""
        remaining = memoryview(frame)
        while remaining:
            remaining = remaining[os.write(CONTROL_PLANE_OUT, remaining) :]
