"""The resident program of a sandbox: starts a supervised process for each execution and carries its output.

Whatever ends it, the control plane starts another; contexts and background executions end with it.
"""

import faulthandler  # noqa: F401 - loaded here, so that the programs share it
import gc
import json
import os
import select
import signal
from collections.abc import Iterable
from functools import partial
from typing import Any

from _glovebox import gvisor, linux
from _glovebox.immortal import make_definitions_immortal
from _glovebox.process import imported_modules
from _glovebox.program.program import Program
from _glovebox.runner import memory_kills
from _glovebox.runner.detached import Detachment
from _glovebox.runner.execution import NOTHING_USED, Execution, Pending
from _glovebox.runner.executions import Executions
from _glovebox.runner.preload import Preload
from _glovebox.runner.standby import Standby
from _glovebox.wire import frames
from _glovebox.wire.channel import Channel
from _glovebox.wire.handover import HandoverListener
from _glovebox.wire.reactor import Reactor
from _glovebox.wire.tunnels import FIRST_STREAM, Tunnels

SUPERVISOR_LOST = {"failed": "supervisor lost"}
"""The report of an execution whose supervisor was killed, by something of the session."""


class Runner:
    def __init__(self, listener: HandoverListener | None) -> None:
        self._reactor = Reactor()
        self._channel = Channel(self._reactor, self._on_frame, lambda: self._detachment.detach())
        self._tunnels = Tunnels(self._channel.send, self._reactor, self._channel.widen)
        self._executions = Executions(self._reactor, self._channel, self._finish_if_done)
        self._preload = Preload(self._channel.send, self._reactor, self._executions)
        self.standby = Standby(self._executions, self._preload, self._watch_supervisor, self._let_go)
        self._detachment = Detachment(listener, self._channel, self._executions, self._tunnels)
        self._settled_ns = 0
        """The newest time stamp that an execution left on a file, in nanoseconds."""

    def serve(self) -> Program | None:
        """Serves one control plane after the other. Returns a program only in the process that is to run it."""
        if not gvisor.PRESENT:
            linux.become_subreaper()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._hear_children()
        make_definitions_immortal()
        gc.freeze()
        linux.return_free_memory()
        self._channel.listen()
        self._tunnels.listen()
        self._detachment.listen(self._reactor)
        self._detachment.greet({})
        while True:
            if program := self._preload.grow(self.standby.become_zygote, self._executions.idle):
                return program
            pending = self._executions.next_pending(self._preload.delays)
            # At once after a launch, so that it is done beside the program just launched.
            if program := self.standby.prepare(pending.request if pending else None):
                return program
            if pending and not self._preload.forking:
                self._executions.pending.remove(pending)
                self._launch(pending)
            else:
                if self.standby.is_settled:
                    self._preload.expected.tell()
                self._serve_events()

    def _serve_events(self) -> None:
        waits = (self._preload.patience_s, self._detachment.wait_s, self.standby.patience_s, self._channel.wait_s)
        limits_s = [wait_s() for wait_s in waits]
        ready = self._reactor.wait(min((limit for limit in limits_s if limit is not None), default=None))
        self._channel.send_due()
        self._preload.check()
        self._reactor.dispatch(ready)
        self._detachment.tick()

    def _on_frame(self, kind: int, stream: int, payload: bytes | memoryview) -> None:
        executions = self._executions
        if kind == frames.START:
            executions.pending.append(Pending(stream, json.loads(bytes(payload))))
        elif kind == frames.CONFIGURE:
            configuration = json.loads(bytes(payload))
            self._preload.configure(configuration)
            self._tunnels.configure(configuration)
        elif kind == frames.PING:
            self._channel.send(frames.pack(frames.PONG, 0, bytes(payload)))
        elif stream >= FIRST_STREAM:
            self._tunnels.on_frame(kind, stream, payload)
        elif execution := executions.running.get(stream):
            if kind == frames.STOP and payload[:1] == frames.SIGNAL:
                executions.signal(execution, payload[1])
            elif kind == frames.STOP:
                executions.command(execution, bytes(payload))
            elif kind == frames.ASK:
                self._channel.send(frames.pack_json(frames.USAGE, stream, execution.used()))
            elif kind == frames.CREDIT:
                executions.grant(execution, int.from_bytes(payload, "big"))
            elif kind == frames.DATA and execution.stdin:
                execution.stdin.deliver(payload)
            elif kind == frames.FIN and execution.stdin:
                execution.stdin.finish()
        elif pending := executions.find_pending(stream):
            if kind == frames.ASK:
                self._channel.send(frames.pack_json(frames.USAGE, stream, NOTHING_USED))
            elif kind == frames.STOP:
                if bytes(payload[:1]) != frames.SIGNAL:
                    executions.pending.remove(pending)
                    self._refuse(pending, frames.STOPPED)
            elif kind in (frames.DATA, frames.FIN):
                pending.early.append(bytes(payload))
        # Else it has ended while the frame was on its way.

    def _refuse(self, pending: Pending, report: dict[str, str]) -> None:
        """Ends a request that no process has begun."""
        self._detachment.end(None, pending.stream, pending.request, dict(report))

    def _let_go(self, kept: Iterable[int]) -> None:
        """Closes in a forked process all but these descriptors, so that the pipes of its siblings can end."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # Sockets by their objects, which would otherwise close these numbers again later.
        for part in (self._reactor, self._executions, self._preload, self.standby, self._detachment, self._tunnels):
            part.close()
        self._channel.close()
        bounds = sorted((2, *kept, os.sysconf("SC_OPEN_MAX")))
        for below, above in zip(bounds, bounds[1:]):
            os.closerange(below + 1, above)

    def _launch(self, pending: Pending) -> None:
        """Hands a request to the process of its context, else to the one on standby."""
        stream, request = pending.stream, pending.request
        executions = self._executions
        name = request.get("context")
        if "end_context" in request:
            self._end_context(request["end_context"])
        execution = self._alive(executions.contexts.get(name)) if name else None
        found: list[str] = []
        if execution is None:
            spare = self.standby.fitting(request)
            if spare and not self._alive(spare):
                # It has ended while it waited, by something of the session.
                executions.pending.insert(0, pending)
                return
            found = self._preload.begin(request)
            execution = self.standby.take(spare)
            if execution:
                execution.fresh = True
                execution.retries = pending.may_retry and not request.get("stdin_stream")
        if execution is None or execution.stream:
            self._refuse(pending, frames.NO_PROCESS)
            return
        if name and execution.is_shell != (request.get("kind") == "command") and not execution.fresh:
            self._refuse(pending, frames.other_kind(execution.is_shell))
            return
        execution.is_shell = request.get("kind") == "command"
        execution.found = found
        if name:
            executions.contexts[name] = execution
        executions.running[stream] = execution
        memory_kills.begin(execution, executions.running.values())
        try:
            execution.begin(stream, request, self._settled_ns)
        except OSError:
            # Something of the session has killed it; its supervisor reports that, or its silence does.
            pass
        if request.get("stdin_stream"):
            executions.start_stdin(execution, pending)
        elif not name:
            execution.close_request()
        executions.watch_outputs(execution)
        self._detachment.keep(execution)

    def _alive(self, execution: Execution | None) -> Execution | None:
        """The execution, or None if its process has ended: while it waits for a request it reports nothing else."""
        if execution and not execution.stream and select.select([execution.control], [], [], 0)[0]:
            self.on_supervisor(execution, 0, 0)
            self._forget(execution)
            return None
        return execution

    def _end_context(self, name: str) -> None:
        """Ends an idle context, and ignores what it still reports."""
        if execution := self._executions.contexts.pop(name, None):
            self._executions.command(execution, frames.KILL)

    def _watch_supervisor(self, execution: Execution) -> None:
        self._reactor.watch(execution.control.fileno(), select.EPOLLIN, partial(self.on_supervisor, execution))

    def on_supervisor(self, execution: Execution, _descriptor: int, _events: int) -> None:
        for report in execution.read_reports():
            self._on_report(execution, report)
        if execution.ended:
            self._on_end(execution)

    def _on_report(self, execution: Execution, report: dict[str, Any]) -> None:
        if "prepared" in report:
            self.standby.note_prepared(execution, int(report["prepared"]))
            return
        if not execution.stream:
            # It had nothing to say but that its program ends, or itself, which it may not have done yet.
            self._forget(execution)
            if report.get("again"):
                self.standby.reuse(execution)
            return
        execution.report = report
        if report.get("alive"):
            execution.owe_what_is_there()
        self._finish_if_done(execution)

    def _on_end(self, execution: Execution) -> None:
        """A supervisor is gone, with a report or without one."""
        self._reactor.unwatch(execution.control.fileno())
        execution.control.close()
        if execution.stream:
            self._finish_if_done(execution)
        if not execution.stream:
            self._forget(execution)
        # Supervisors that a zygote has forked are its children.
        self._preload.reap()

    def _forget(self, execution: Execution) -> None:
        """Lets go of a process that has ended and has no run to report, one on standby too that something has killed."""
        self.standby.forget(execution)
        self._executions.forget_context(execution)
        self._executions.unwatch_outputs(execution)
        execution.close()

    def _hear_children(self) -> None:
        """Has each child's end come as an event: a supervisor closes its socket a little before it is gone."""
        heard, told = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        self._reactor.watch(heard, select.EPOLLIN, self._reap)

    def _reap(self, heard: int, _events: int) -> None:
        """Collects supervisors of earlier executions, and what was orphaned by ones that were killed."""
        os.read(heard, 1 << 12)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass

    def _finish_if_done(self, execution: Execution) -> None:
        """Sends the end of a run once it is known and every byte of output is on its way.

        A supervisor that was killed, or that could not end all, leaves processes that hold the pipes open:
        then the end goes out at once, and the control plane clears the sandbox.
        """
        report = execution.report
        if execution.ended and (report is None or report.get("alive")):
            # Nobody would end what the program of a context does after its cell.
            report = dict(SUPERVISOR_LOST)
        if report is None or not execution.stream:
            return
        if not execution.delivered and report.get("survivors") is False:
            return
        executions = self._executions
        executions.unwatch_outputs(execution)
        stream, request, retries = execution.stream, execution.body, execution.retries
        del executions.running[stream]
        execution.stream = 0
        execution.retries = False
        alive = report.pop("alive", False)
        again = report.pop("again", False)
        if not alive:
            if execution.stdin:
                execution.stdin.close()
            self._forget(execution)
            if again:
                self.standby.reuse(execution)
        if report.get("started") is False and retries:
            # Killed in the moment in which it got the request: nothing of that has run.
            self._detachment.release(execution)
            executions.pending.append(Pending(stream, request, may_retry=False))
            return
        memory_kills.settle(execution, report, executions.running.values())
        imported = report.pop("imported", None)
        if told := imported_modules.told_to_control_plane(execution.found, imported):
            report["imported"] = told
        self._settled_ns = max(self._settled_ns, report.pop("settled_ns", 0))
        if execution.context:
            report["context_alive"] = alive
            report["context_created"] = execution.fresh
        execution.fresh = False
        if spilled := execution.finish_spilled():
            report["kept"] = spilled
        self._detachment.end(execution, stream, request, report)
        self._preload.learn(request, imported, bool(report.get("oom_killed")))
