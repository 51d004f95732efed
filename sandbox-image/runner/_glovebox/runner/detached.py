"""What of a session goes on while there is no control plane: contexts, and executions in the background.

What belonged to calls is ended. A new control plane is let in when that is done, and is told what there is.
"""

import json
import os
import select
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from _glovebox.runner import stdin_stream
from _glovebox.runner.executions import Execution
from _glovebox.wire import frames
from _glovebox.wire.handover import STANDARD_STREAMS, Door

if TYPE_CHECKING:
    from _glovebox.runner.runner import Runner

INTERRUPT_GRACE_S = 0.5
CONTEXT_GRACE_S = 2.0
"""As long as the control plane gives a context."""
KILL_LIMIT_S = 1.5
"""What resists a kill for longer is beyond this runner: it ends itself, and the next control plane clears the sandbox."""
FIRST_KEPT_STREAM = 1 << 30
"""Streams of what an earlier control plane began; those below are the present one's."""
MAX_ENDED = 50
"""Reports of ended background executions that are kept."""
MAX_ENDED_BYTES = 1024 * 1024
UNLIMITED = 1 << 62
"""Credit of executions that nobody listens to: their output goes into their files."""


class Ending:
    """An execution on its way to its end, by this runner's clock."""

    def __init__(self, deadline: float, kill_after_s: float) -> None:
        self.deadline = deadline
        self.kill_after_s = kill_after_s
        self.means = ""
        """`interrupt` or `kill`, once it was told so."""


class Keeper:
    def __init__(self, runner: "Runner", door: Door | None) -> None:
        self.runner = runner
        self.door = door
        self.attached = True
        self.lost = False
        """Whether the channel broke while something was written to it."""
        self.connection: socket.socket | None = None
        """To the exec that the channel came with; its process ends when this is closed."""
        self.waiting: tuple[list[int], socket.socket] | None = None
        """The next channel, while calls of the last one are being ended."""
        self.orphans: dict[Execution, Ending] = {}
        """What belonged to calls of a control plane that is gone."""
        self.limits: dict[Execution, Ending] = {}
        """Of the executions in the background, while nobody else looks after them."""
        self.ended: list[tuple[dict[str, Any], str]] = []
        """Background executions that have ended, the newest last: what there is to say of each, and its report.

        Also those that were told: who was told may be gone before having noted it.
        """
        self.last_stream = FIRST_KEPT_STREAM - 1
        if door:
            runner.watch(door.listener.fileno(), select.EPOLLIN, self.on_call)

    def on_call(self, _descriptor: int, _events: int) -> None:
        """The newest control plane is the right one: an earlier one may hang on a connection that is long dead."""
        admitted = self.door.admit() if self.door else None
        if not admitted:
            return
        self.refuse_waiting()
        self.waiting = admitted
        if self.attached:
            self.detach()

    def detach(self) -> None:
        """The control plane is gone. Ends what belonged to its calls, and looks after the rest."""
        if self.door is None:
            # Supervisors see their sockets close, end their programs and exit.
            os._exit(0)
        self.attached = self.lost = False
        runner = self.runner
        runner.unwatch(0)
        null = os.open(os.devnull, os.O_RDWR)
        for stream in STANDARD_STREAMS:
            os.dup2(null, stream)
        os.close(null)
        if self.connection:
            self.connection.close()
            self.connection = None
        if runner.tunnels:
            runner.tunnels.suspend()
        runner.decoder = frames.Decoder()
        # What the others were sent goes with them: the next control plane counts its streams anew.
        runner.pending = [waits for waits in runner.pending if "background" in waits.request]
        for waits in runner.pending:
            waits.stream = self.new_stream()
        running = list(runner.executions.values())
        runner.executions.clear()
        for execution in running:
            execution.stream = self.new_stream()
            runner.executions[execution.stream] = execution
            self.keep(execution)

    def new_stream(self) -> int:
        self.last_stream += 1
        return self.last_stream

    def keep(self, execution: Execution) -> None:
        """Looks after a run that no control plane hears of."""
        if self.attached:
            return
        background = execution.body.get("background")
        grace = CONTEXT_GRACE_S if execution.context else INTERRUPT_GRACE_S
        if background:
            # What a control plane has begun to end comes to its end by this clock too.
            self.limits[execution] = Ending(execution.began + background["timeout_s"], grace)
        else:
            self.orphans[execution] = Ending(time.monotonic(), grace)
            execution.retries = False
            if execution.feed:
                execution.feed.close()
        # None may wait for someone to read its output, not even to hear an interrupt.
        execution.credit = UNLIMITED
        self.runner.watch_outputs(execution)

    def wait_s(self) -> float | None:
        """How long the runner may sleep, in seconds; None without end."""
        deadlines = [ending.deadline for ending in (*self.orphans.values(), *self.limits.values())]
        if self.lost or (self.waiting and not self.orphans):
            return 0
        return max(0, min(deadlines) - time.monotonic()) if deadlines else None

    def tick(self) -> None:
        """Does what is due: called after each round of events."""
        if self.lost:
            self.detach()
        now = time.monotonic()
        for endings in (self.orphans, self.limits):
            for execution, ending in endings.items():
                if ending.deadline <= now:
                    self.press(execution, ending, now)
        if self.waiting and not self.orphans:
            self.attach(*self.waiting)

    def press(self, execution: Execution, ending: Ending, now: float) -> None:
        if ending.means == "":
            ending.means, ending.deadline = "interrupt", now + ending.kill_after_s
            self.runner.command(execution, frames.INTERRUPT)
        elif ending.means == "interrupt":
            ending.means, ending.deadline = "kill", now + KILL_LIMIT_S
            self.runner.command(execution, frames.KILL)
        else:
            os._exit(1)

    def end(self, execution: Execution | None, stream: int, request: dict[str, Any], report: dict[str, Any]) -> None:
        """Tells the end of a run, which may never have begun, to whom it concerns."""
        if execution in self.orphans and (report.get("survivors") or "failed" in report):
            # Something of it may still run, and nobody is told: only a cleared sandbox is sure.
            os._exit(1)
        if "background" in request:
            self.ended.append((self.describe(execution, request), json.dumps(report)))
            while len(self.ended) > MAX_ENDED or sum(len(text) for _, text in self.ended) > MAX_ENDED_BYTES:
                del self.ended[0]
        self.release(execution)
        self.runner.send(frames.pack_json(frames.END, stream, report))

    def release(self, execution: Execution | None) -> None:
        """Looks no longer after a run."""
        if execution:
            self.orphans.pop(execution, None)
            self.limits.pop(execution, None)

    def lose(self) -> None:
        """The channel broke: nothing more is written to it, and the rest follows after this round of events."""
        self.attached = False
        self.lost = True

    def describe(self, execution: Execution | None, request: dict[str, Any]) -> dict[str, Any]:
        """What a new control plane is told of a background execution, besides its stream."""
        ran_ms = round((time.monotonic() - execution.began) * 1000, 3) if execution else 0
        limit = self.limits.get(execution) if execution else None
        ended_by = {"ended_by": limit.means} if limit and limit.means else {}
        return {"id": request["keep"]["id"], "ran_ms": ran_ms, **ended_by}

    def attach(self, descriptors: list[int], connection: socket.socket) -> None:
        """Takes the channel of a new control plane, and tells what there is."""
        self.waiting, self.connection = None, connection
        for stream, descriptor in zip(STANDARD_STREAMS, descriptors):
            os.dup2(descriptor, stream)
            os.close(descriptor)
        self.attached = True
        runner = self.runner
        runner.watch(0, select.EPOLLIN, runner.on_control_plane)
        ended = [({**about, "ended": True, "stream": self.new_stream()}, report) for about, report in self.ended]
        running = [self.take_up(execution) for execution in runner.executions.values()]
        running += [{"id": waits.request["keep"]["id"], "ran_ms": 0, "stream": waits.stream} for waits in runner.pending]
        contexts = [name for name, execution in runner.contexts.items() if not execution.ended]
        self.greet({"adopted": {"contexts": contexts, "executions": [about for about, _ in ended] + running}})
        for about, report in ended:
            runner.send(frames.pack(frames.END, about["stream"], report.encode()))
        if runner.tunnels:
            runner.tunnels.resume()

    def take_up(self, execution: Execution) -> dict[str, Any]:
        """Leaves a run to the control plane: its clock, its credit."""
        about = {**self.describe(execution, execution.body), "stream": execution.stream}
        self.release(execution)
        execution.credit = frames.INITIAL_CREDIT
        return about

    def greet(self, state: dict[str, Any]) -> None:
        python = ".".join(map(str, sys.version_info[:3]))
        own = {"protocol": frames.PROTOCOL_VERSION, "python": python, "stdin_ahead": stdin_stream.CREDIT}
        self.runner.send(frames.pack_json(frames.READY, 0, {**own, **state}))

    def refuse_waiting(self) -> None:
        if self.waiting:
            descriptors, connection = self.waiting
            for descriptor in descriptors:
                os.close(descriptor)
            connection.close()
            self.waiting = None
