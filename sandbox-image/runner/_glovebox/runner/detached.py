"""What goes on while there is no control plane: contexts, and executions in the background.

Executions that belong to calls are ended. Then a new control plane is attached, and told what there is.
"""

import json
import os
import select
import socket
import sys
import time
from typing import Any

from _glovebox import zstd
from _glovebox.runner import stdin_stream
from _glovebox.runner.execution import Execution
from _glovebox.runner.executions import Executions
from _glovebox.wire import frames
from _glovebox.wire.channel import Channel
from _glovebox.wire.handover import HandoverListener
from _glovebox.wire.reactor import Reactor
from _glovebox.wire.tunnels import Tunnels

INTERRUPT_GRACE_S = 0.5
"""Seconds between an interrupt and a kill."""
CONTEXT_GRACE_S = 2.0
"""The same for a context, as the control plane gives it."""
KILL_LIMIT_S = 1.5
"""Seconds that a program may resist a kill. Then the runner ends itself, and the next control plane clears the sandbox."""
FIRST_RECOVERED_STREAM = 1 << 30
"""The first stream of executions that an earlier control plane began; those below are the present one's."""
MAX_ENDED = 50
"""Reports of ended background executions that are kept."""
MAX_ENDED_BYTES = 1024 * 1024
"""Bytes of these reports together."""
UNLIMITED = 1 << 62
"""Credit of executions without a control plane: their output goes into their files."""


class Ending:
    """An execution on its way to its end, by this runner's clock."""

    def __init__(self, deadline: float, kill_after_s: float) -> None:
        self.deadline = deadline
        self.kill_after_s = kill_after_s
        self.means = ""
        """`interrupt` or `kill`, once it was told so."""


class Detachment:
    """Detaches from a control plane and attaches to the next one; has the clock of what goes on in between."""

    def __init__(
        self, listener: HandoverListener | None, channel: Channel, executions: Executions, tunnels: Tunnels
    ) -> None:
        self._listener = listener
        self._channel = channel
        self._executions = executions
        self._tunnels = tunnels
        self._waiting: tuple[list[int], socket.socket] | None = None
        """The next channel, while calls of the last one are being ended."""
        self._orphans: dict[Execution, Ending] = {}
        """What belonged to calls of a control plane that is gone."""
        self._limits: dict[Execution, Ending] = {}
        """The ends of executions in the background, while no control plane has their clock."""
        self._ended: list[tuple[dict[str, Any], str]] = []
        """Background executions that have ended, the newest last: the description and the report of each.

        Those that were told stay: the control plane that was told may have ended before it wrote that down.
        """
        self._last_stream = FIRST_RECOVERED_STREAM - 1
        self._generation = listener.generation if listener else 0
        """The highest generation of the control planes that were let in."""

    def listen(self, reactor: Reactor) -> None:
        if self._listener:
            reactor.watch(self._listener.socket.fileno(), select.EPOLLIN, self._on_connection)

    def _on_connection(self, _descriptor: int, _events: int) -> None:
        """The newest control plane is the right one: an earlier one may hang on a connection that is long dead.

        One of a lower generation is not newer: another has claimed the session since, and it has slept through that.
        """
        accepted = self._listener.accept() if self._listener else None
        if not accepted:
            return
        descriptors, connection, generation = accepted
        if generation < self._generation:
            self._refuse(descriptors, connection)
            return
        self._generation = generation
        self._reject_waiting()
        self._waiting = descriptors, connection
        if self._channel.attached:
            self.detach()

    def detach(self) -> None:
        """Begins to end what belonged to calls of the control plane that is gone, and takes over the rest."""
        if self._listener is None:
            # Supervisors see their sockets close, end their programs and exit.
            os._exit(0)
        self._channel.detach()
        self._tunnels.suspend()
        executions = self._executions
        # What was sent to the others is dropped with them: the next control plane counts its streams from the start.
        executions.pending = [pending for pending in executions.pending if "background" in pending.request]
        for pending in executions.pending:
            pending.stream = self._new_stream()
            # What the next control plane may send is what these have left.
            pending.request["stdin_granted"] = sum(map(len, pending.early))
        running = list(executions.running.values())
        executions.running.clear()
        for execution in running:
            execution.stream = self._new_stream()
            executions.running[execution.stream] = execution
            self.keep(execution)

    def _new_stream(self) -> int:
        self._last_stream += 1
        return self._last_stream

    def keep(self, execution: Execution) -> None:
        """Takes over the clock of a run that no control plane hears of."""
        if self._channel.attached:
            return
        background = execution.body.get("background")
        grace = CONTEXT_GRACE_S if execution.context else INTERRUPT_GRACE_S
        if background:
            # What a control plane has begun to end comes to its end by this clock too.
            self._limits[execution] = Ending(execution.began + background["timeout_s"], grace)
        else:
            self._orphans[execution] = Ending(time.monotonic(), grace)
            execution.retries = False
            if execution.stdin:
                execution.stdin.close()
        # None may wait until its output is read, not even to receive an interrupt.
        execution.credit = UNLIMITED
        self._executions.watch_outputs(execution)

    def wait_s(self) -> float | None:
        """Seconds that the runner may sleep; None is without end."""
        deadlines = [ending.deadline for ending in (*self._orphans.values(), *self._limits.values())]
        if self._channel.lost or (self._waiting and not self._orphans):
            return 0
        return max(0, min(deadlines) - time.monotonic()) if deadlines else None

    def tick(self) -> None:
        """Does what is due: called after each round of events."""
        if self._channel.lost:
            self.detach()
        now = time.monotonic()
        for endings in (self._orphans, self._limits):
            for execution, ending in endings.items():
                if ending.deadline <= now:
                    self._escalate(execution, ending, now)
        if self._waiting and not self._orphans:
            self._attach(*self._waiting)

    def _escalate(self, execution: Execution, ending: Ending, now: float) -> None:
        if ending.means == "":
            ending.means, ending.deadline = "interrupt", now + ending.kill_after_s
            self._executions.command(execution, frames.INTERRUPT)
        elif ending.means == "interrupt":
            ending.means, ending.deadline = "kill", now + KILL_LIMIT_S
            self._executions.command(execution, frames.KILL)
        else:
            os._exit(1)

    def end(self, execution: Execution | None, stream: int, request: dict[str, Any], report: dict[str, Any]) -> None:
        """Reports the end of a run, which may never have begun."""
        if execution in self._orphans and (report.get("survivors") or "failed" in report):
            # Something of it may still run, and there is no one to tell: only a cleared sandbox is safe.
            os._exit(1)
        if "background" in request:
            self._ended.append((self._describe(execution, request), json.dumps(report)))
            while len(self._ended) > MAX_ENDED or sum(len(text) for _, text in self._ended) > MAX_ENDED_BYTES:
                del self._ended[0]
        self.release(execution)
        self._channel.send(frames.pack_json(frames.END, stream, report))

    def release(self, execution: Execution | None) -> None:
        """Gives up the clock of a run."""
        if execution:
            self._orphans.pop(execution, None)
            self._limits.pop(execution, None)

    def _describe(self, execution: Execution | None, request: dict[str, Any]) -> dict[str, Any]:
        """What a new control plane is told of a background execution, besides its stream."""
        ran_ms = round((time.monotonic() - execution.began) * 1000, 3) if execution else 0
        limit = self._limits.get(execution) if execution else None
        ended_by = {"ended_by": limit.means} if limit and limit.means else {}
        return {"id": request["keep"]["id"], "ran_ms": ran_ms, **ended_by}

    def _attach(self, descriptors: list[int], connection: socket.socket) -> None:
        """Takes the channel of a new control plane, and tells what there is."""
        self._waiting = None
        self._channel.attach(descriptors, connection)
        executions = self._executions
        ended = [({**about, "ended": True, "stream": self._new_stream()}, report) for about, report in self._ended]
        running = [self._hand_back(execution) for execution in executions.running.values()]
        running += [
            {"id": pending.request["keep"]["id"], "ran_ms": 0, "stream": pending.stream} for pending in executions.pending
        ]
        contexts = [name for name, execution in executions.contexts.items() if not execution.ended]
        self.greet({"adopted": {"contexts": contexts, "executions": [about for about, _ in ended] + running}})
        for execution in executions.running.values():
            if execution.stdin:
                execution.stdin.invite_anew()
        for about, report in ended:
            self._channel.send(frames.pack(frames.END, about["stream"], report.encode()))
        self._tunnels.resume()

    def _hand_back(self, execution: Execution) -> dict[str, Any]:
        """Leaves a run to the control plane, with its clock and its credit."""
        about = {**self._describe(execution, execution.body), "stream": execution.stream}
        self.release(execution)
        execution.credit = frames.INITIAL_CREDIT
        return about

    def greet(self, state: dict[str, Any]) -> None:
        python = ".".join(map(str, sys.version_info[:3]))
        can = {
            "stdin_ahead": stdin_stream.CREDIT,
            "unpacks": zstd.library() is not None,
            "takes_args": True,
            "commands": True,
            "signals": True,
            "terminals": True,
            "pings": True,
            "usage": True,
        }
        own: dict[str, Any] = {"protocol": frames.PROTOCOL_VERSION, "python": python, **can}
        if self._generation:
            own["generation"] = self._generation
        self._channel.send(frames.pack_json(frames.READY, 0, {**own, **state}))

    def _refuse(self, descriptors: list[int], connection: socket.socket) -> None:
        """Tells a control plane that another has claimed the session. Nothing else changes."""
        refusal = {"protocol": frames.PROTOCOL_VERSION, "refused": "generation", "generation": self._generation}
        try:
            # Fits into any pipe that is empty, as this one is.
            os.write(descriptors[1], frames.pack_json(frames.READY, 0, refusal))
        except OSError:
            pass
        _drop(descriptors, connection)

    def _reject_waiting(self) -> None:
        if self._waiting:
            _drop(*self._waiting)
            self._waiting = None

    def close(self) -> None:
        """Closes the sockets that control planes come by, in a forked process: they are the parent's."""
        self._reject_waiting()
        if self._listener:
            self._listener.socket.close()
        self._orphans.clear()
        self._limits.clear()


def _drop(descriptors: list[int], connection: socket.socket) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
    connection.close()
