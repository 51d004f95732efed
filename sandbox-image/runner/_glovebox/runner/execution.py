"""One execution as the runner sees it: its supervisor, its request, its output on the way to the control plane."""

import fcntl
import json
import os
import signal
import socket
import struct
import termios
import time
from collections.abc import Iterable
from typing import Any

from _glovebox.program.program import Pipes
from _glovebox.runner import usage
from _glovebox.runner.spilled_output import SpilledOutput
from _glovebox.runner.stdin_stream import StdinStream
from _glovebox.wire import frames
from _glovebox.wire.request_pipe import write_request


NOTHING_USED = {"cpu_ms": 0.0, "stdout": 0, "stderr": 0}
"""What a request has used that no process runs yet."""


class Pending:
    """A request that no process runs yet."""

    def __init__(self, stream: int, request: dict[str, Any], may_retry: bool = True) -> None:
        self.stream = stream
        self.request = request
        self.may_retry = may_retry
        """Whether it may be tried again, should its process turn out to be dead."""
        self.early: list[bytes] = []
        """Standard input that has come already; an empty piece ends it."""


class Execution:
    """A supervisor and its program, which waits for its request; a context's stays for the next one.

    Each request has a stream of its own. When nothing is left of a program, the supervisor can start another.
    """

    def __init__(self, pid: int, control: socket.socket) -> None:
        self.pid = pid
        self.control = control
        self.request = -1
        """Descriptor of the pipe for requests; -1 when it is closed, or standard input is streamed by it."""
        self.outputs: dict[int, int] = {}
        """Frame type by descriptor, for the pipes not yet at their end."""
        self.origin = 0
        """The generation of loaded modules that it was forked with; 0 for the runner's own."""
        self.prepared = False
        """Whether it is the process of a context to come that has made its interpreter ready."""
        self.found: list[str] = []
        """Modules that were loaded ahead for the request under way."""
        self.stdin: StdinStream | None = None
        """Carries the program's standard input while that is streamed."""
        self.stream = 0
        """0 while no request runs."""
        self.body: dict[str, Any] = {}
        """The request under way."""
        self.is_shell = False
        """Whether it is the process of a shell, if it is that of a context."""
        self.fresh = False
        """Whether the request under way is its first."""
        self.retries = False
        """Whether its request may run in another process, should this one turn out to be dead already."""
        self.began = 0.0
        """The monotonic time, in seconds, at which the request under way came."""
        self.credit = frames.INITIAL_CREDIT
        self.spilled: dict[int, SpilledOutput] = {}
        """Files of long output, by frame type."""
        self.report: dict[str, Any] | None = None
        self.owed: dict[int, int] | None = None
        """Bytes that a context's pipes held when its run ended, by descriptor: they belong to that run."""
        self.ended = False
        """Whether the supervisor is gone."""
        self.beside = False
        """Whether another execution ran during the one under way."""
        self.is_killed = False
        """Whether the runner has had the one under way killed."""
        self.others_memory_kills = 0
        """Programs of those that the memory limit is known to have ended during the one under way."""
        self._lines = bytearray()
        self._carried: dict[int, int] = {}
        """Bytes of output of the request under way so far, by frame type."""
        self._cpu_before = 0.0
        """Processor time in milliseconds that its processes had used before the request under way."""

    @property
    def context(self) -> str | None:
        return self.body.get("context")

    @property
    def restores(self) -> bool:
        """Whether it brings back the files of a hibernated session."""
        return bool(self.body.get("kind") == "archive" and self.body["file"].get("op") == "restore")

    def start_program(self) -> None:
        """Has the supervisor start a program. Raises OSError without descriptors for it, or when the supervisor is gone."""
        made: list[int] = []
        try:
            for _ in range(4):
                made.extend(os.pipe())
            request_out, request_in, stdout_out, stdout_in, stderr_out, stderr_in, display_out, display_in = made
            socket.send_fds(self.control, [frames.NEXT], Pipes(request_out, stdout_in, stderr_in, display_in))
        except OSError:
            close_all(made)
            raise
        close_all((request_out, stdout_in, stderr_in, display_in))
        for output in (stdout_out, stderr_out, display_out):
            # The code may take back what it has written: a runner that waits for more would be no use to the others.
            os.set_blocking(output, False)
        self.request = request_in
        self.outputs = {stdout_out: frames.STDOUT, stderr_out: frames.STDERR, display_out: frames.DISPLAY}
        self.prepared = False
        self.stdin = None
        self.body = {}

    def begin(self, stream: int, request: dict[str, Any], settled_ns: int) -> None:
        """Hands over a request. Raises OSError when its process is dead."""
        self.stream = stream
        self.body = request
        self.began = time.monotonic()
        self.credit = frames.INITIAL_CREDIT
        self.report = self.owed = None
        self._carried = {}
        # Only those are asked for it while they run.
        self._cpu_before = usage.cpu_ms(self.pid) if "background" in request else 0.0
        keep = request.get("keep")
        # Nobody may be there to gather what a background execution displays.
        names = {**frames.SPILLED_NAMES, **({frames.DISPLAY: "display"} if "background" in request else {})}
        self.spilled = {kind: SpilledOutput(keep, name) for kind, name in names.items()} if keep else {}
        # An earlier execution may have stopped it while it waited.
        os.kill(self.pid, signal.SIGCONT)
        self.control.send(frames.WAKE)
        write_request(self.request, {**request, "settled_ns": settled_ns})

    def close_request(self) -> None:
        """No more requests, and no more input."""
        if self.request >= 0:
            os.close(self.request)
            self.request = -1

    def read_reports(self) -> list[dict[str, Any]]:
        """The supervisor's new reports; sets `ended` when there will be no more."""
        try:
            data = self.control.recv(1 << 16)
        except ConnectionResetError:
            # Its supervisor was killed before it had read all that it was sent.
            data = b""
        if not data:
            self.ended = True
            return []
        self._lines += data
        *lines, rest = self._lines.split(b"\n")
        self._lines = rest
        return [json.loads(line) for line in lines]

    def read_output(self, descriptor: int) -> bytes | None:
        """The next bytes of a pipe, within the credit; empty at its end, None when no more are owed.

        Raises BlockingIOError when there are none now.
        """
        most = min(frames.CHUNK, self.credit)
        if self.owed is not None:
            most = min(most, self.owed[descriptor])
            if most == 0:
                return None
        data = os.read(descriptor, most)
        self.credit -= len(data)
        kind = self.outputs[descriptor]
        self._carried[kind] = self._carried.get(kind, 0) + len(data)
        if self.owed is not None:
            # At the end nothing is owed any more: the code may have taken it back.
            self.owed[descriptor] = self.owed[descriptor] - len(data) if data else 0
        if spilled := self.spilled.get(kind):
            spilled.add(data)
        return data

    def owe_what_is_there(self) -> None:
        """Lets nothing be read but what the pipes hold at this moment."""
        self.owed = {descriptor: _readable_bytes(descriptor) for descriptor in self.outputs}

    @property
    def delivered(self) -> bool:
        """Whether all output of the run is on its way."""
        return not any(self.owed.values()) if self.owed is not None else not self.outputs

    def used(self) -> dict[str, float]:
        """What the request under way has used so far."""
        used_ms = max(0.0, usage.cpu_ms(self.pid) - self._cpu_before)
        return {"cpu_ms": used_ms, **{name: self._carried.get(kind, 0) for kind, name in frames.SPILLED_NAMES.items()}}

    def finish_spilled(self) -> dict[str, Any]:
        """Closes the files of long output; says where they are, for the report."""
        finished = {kind: spilled.finish() for kind, spilled in self.spilled.items()}
        self.spilled = {}
        return {name: facts for kind, name in frames.SPILLED_NAMES.items() if (facts := finished.get(kind))}

    def close(self) -> None:
        self.close_request()
        close_all(self.outputs)
        self.outputs = {}


def close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _readable_bytes(descriptor: int) -> int:
    return int(struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))[0])
