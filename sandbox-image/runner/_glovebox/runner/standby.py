"""The processes forked ahead for the next requests, so that these need not wait for two forks."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

from _glovebox.program.program import Program
from _glovebox.runner.execution import Execution
from _glovebox.runner.executions import Executions
from _glovebox.runner.preload import Preload
from _glovebox.supervisor.supervisor import supervise
from _glovebox.wire import frames
from _glovebox.wire.request_pipe import write_request

RESERVE_AFTER_S = 0.25
"""Seconds before an idle runner forks the second supervisor: a first request that comes at once has the processors."""
NEXT_AFTER_S = 0.02
"""Seconds that a request runs before the next supervisor is forked: most end earlier, and leave theirs to the next."""
ANSWER_FIRST_S = 0.002
"""Seconds after the end of a request before the next program is forked: its answer has the processors until then."""
IN_A_ROW_S = 0.005
"""Seconds from the end of a request within which the next one is that of a caller who does not pause."""
IDLE_LIMIT_S = 1.0
"""Seconds that a supervisor is kept without a program."""

_NOT_AGAIN = -1
"""The generation of a supervisor that is not to start another program."""


class Standby:
    """One process at any time, and two before the first request. The supervisor of an execution that has ended starts the next.

    The first two requests of a session that wakes come close together: its files, then the call that woke it.
    """

    def __init__(
        self,
        executions: Executions,
        preload: Preload,
        adopt: Callable[[Execution], None],
        let_go: Callable[[Iterable[int]], None],
    ) -> None:
        """`adopt` gets each process when it is there. `let_go` is called in it, with the descriptors that it keeps."""
        self._executions = executions
        self._preload = preload
        self._adopt = adopt
        self._let_go = let_go
        self.ready: Execution | None = None
        self.reserve: Execution | None = None
        self.loaded: Execution | None = None
        """One with the modules that the session is expected to use."""
        self.context: Execution | None = None
        """One that makes ready, or has ready, the interpreter of a context that the session is expected to use."""
        self._reserve_due: float | None = time.monotonic() + RESERVE_AFTER_S
        self._next_due = 0.0
        """The monotonic time, in seconds, before which no supervisor is forked while a request runs."""
        self._rest_until = 0.0
        """The monotonic time, in seconds, before which nothing is started without a request."""
        self._last_end = 0.0
        """The monotonic time, in seconds, at which the last request ended."""
        self._is_in_a_row = False
        """Whether the last request came right after the end of the one before."""
        self._idle: dict[Execution, float] = {}
        """Supervisors without a program, with the monotonic time, in seconds, at which each is to end."""

    def prepare(self, request: dict[str, Any] | None) -> Program | None:
        """Has one ready, if it can be had, that fits the request if there is one; returns as `_fork` does."""
        self._drop_unexpected()
        if request is not None and (fitting := self.fitting(request)) and fitting is not self.ready:
            return None
        origin = self._origin_for(request)
        if self.ready is None:
            self.ready, self.reserve = self.reserve, None
        if self.ready and self.ready.origin != origin:
            for spare in (self.ready, self.reserve):
                if spare:
                    self._executions.command(spare, frames.KILL)
            self.ready = self.reserve = None
        self._end_idle()
        if self._preload.forking:
            return None
        if self.ready is None:
            if (request is None and self._next_due_in_s() > 0) or self._start_in_idle(origin):
                return None
            return self._fork(origin)
        if self._reserve_due is not None and self._reserve_due <= time.monotonic():
            self._reserve_due = None
            return self._fork(origin)
        return self._prepare_expected() if request is None and self._executions.idle else None

    def _prepare_expected(self) -> Program | None:
        """Has processes ready, one after the other, that fit what a session is expected to do first."""
        expected = self._preload.expected
        if expected.begun or self._preload.grows:
            return None
        if expected.modules and self.loaded is None and (generation := self._preload.generation):
            return self._fork(generation, self._take_loaded)
        if expected.context and self.context is None:
            return self._fork(0, self._take_context)
        return None

    @property
    def is_settled(self) -> bool:
        """Whether all is there, as far as it can be had, for what the session is expected to do."""
        expected = self._preload.expected
        waits = (self._preload.generation and expected.modules and self.loaded is None) or (
            expected.context and not (self.context and self.context.prepared)
        )
        return expected.begun or not (waits or self._preload.grows)

    def note_prepared(self, spare: Execution, size: int) -> None:
        """The interpreter of a context is ready, and takes so many bytes."""
        spare.prepared = True
        expected = self._preload.expected
        if spare is self.context and size > expected.room:
            expected.use_context()
        elif spare is self.context:
            expected.note("context", size)

    def fitting(self, request: dict[str, Any]) -> Execution | None:
        """The process, of those that are there, that a request should get."""
        origin = self._preload.origin_for(request)
        name = request.get("context") if request.get("kind") != "command" else None
        if self.context and name and name not in self._executions.contexts and origin == 0:
            return self.context
        if self.loaded and self.loaded.origin == origin:
            return self.loaded
        return self.ready

    def take(self, spare: Execution | None) -> Execution | None:
        """Gives a process that fits to a request."""
        if spare and spare is self.context:
            self._preload.expected.use_context()
        if spare is not self.ready and self.reserve:
            self._end(self.reserve)
        self._drop(spare)
        self._reserve_due = None
        now = time.monotonic()
        self._next_due = now + NEXT_AFTER_S
        self._is_in_a_row = now - self._last_end < IN_A_ROW_S
        return spare

    def reuse(self, supervisor: Execution) -> None:
        """Takes back a supervisor whose program has ended with all that it had started."""
        self._last_end = time.monotonic()
        self._idle[supervisor] = self._last_end + IDLE_LIMIT_S
        # One who calls without a pause needs the next program sooner than the others need the processors.
        self._rest_until = self._last_end + (0 if self._is_in_a_row else ANSWER_FIRST_S)

    def _start_in_idle(self, origin: int) -> bool:
        """Has a supervisor that is there start the next program; whether there was one."""
        # The latest: the others may soon end.
        for supervisor in [other for other in reversed(self._idle) if other.origin == origin]:
            del self._idle[supervisor]
            try:
                # Something of the session may have stopped it.
                os.kill(supervisor.pid, signal.SIGCONT)
                supervisor.start_program()
            except OSError:
                # Something of the session has killed it, or there are no descriptors.
                _dismiss(supervisor)
                continue
            self.ready = supervisor
            return True
        return False

    def _end_idle(self) -> None:
        """Ends supervisors that nothing has needed, and those that have modules which are not wanted any more."""
        if not self._idle:
            return
        now = time.monotonic()
        origins = (0, self._preload.generation)
        for supervisor, due in list(self._idle.items()):
            if due <= now or supervisor.origin not in origins:
                del self._idle[supervisor]
                _dismiss(supervisor)

    def forget(self, spare: Execution) -> None:
        """Forgets a process that has ended, if it is one of these."""
        if spare is self.context:
            # Not again: its interpreter cannot be made, or something has ended it.
            self._preload.expected.use_context()
        self._drop(spare)
        if spare.ended:
            self._idle.pop(spare, None)

    def _drop(self, spare: Execution | None) -> None:
        for place in ("ready", "reserve", "loaded", "context"):
            if spare and getattr(self, place) is spare:
                setattr(self, place, None)

    def _drop_unexpected(self) -> None:
        """Ends the processes that were made ready for what is not expected any more."""
        expected = self._preload.expected
        if self.loaded and (not expected.modules or self.loaded.origin != self._preload.generation):
            self._end(self.loaded)
        if self.context and (not expected.context or (expected.begun and not self.context.prepared)):
            expected.use_context()
            self._end(self.context)
            if self.ready and self._executions.idle:
                # Another one shares more with the runner, which wrote to its memory while the other was there.
                self._end(self.ready)

    def _end(self, spare: Execution) -> None:
        spare.origin = _NOT_AGAIN
        self._executions.command(spare, frames.KILL)
        self._drop(spare)

    def close(self) -> None:
        """Closes the sockets to processes on standby, in a forked process: they are the parent's."""
        for spare in (self.ready, self.reserve, self.loaded, self.context, *self._idle):
            if spare:
                spare.control.close()
        self.ready = self.reserve = self.loaded = self.context = None
        self._idle.clear()

    def patience_s(self) -> float | None:
        """Seconds in which there is nothing to prepare, if nothing happens; None is without end."""
        if self.ready is None and (wait_s := self._next_due_in_s()):
            return wait_s
        deadlines = [*self._idle.values(), *([] if self._reserve_due is None else [self._reserve_due])]
        return max(0.001, min(deadlines) - time.monotonic()) if deadlines else None

    def _next_due_in_s(self) -> float:
        """Seconds until the next program may be started without a request."""
        due = max(self._rest_until, self._next_due) if self._executions.running else self._rest_until
        return max(0.0, due - time.monotonic())

    def _origin_for(self, request: dict[str, Any] | None) -> int:
        """The generation of modules that the next process is to be forked with."""
        finds_a_context = request is not None and request.get("context") in self._executions.contexts
        return self._preload.origin_for(None if finds_a_context else request)

    def _fork(self, origin: int, take: Callable[[Execution], None] | None = None) -> Program | None:
        """Forks a supervisor, which starts a program; returns only in the process of the program, or not at all.

        Without memory or processes for that there is no spare afterwards; with loaded modules it comes a little later.
        """
        try:
            ours, theirs = socket.socketpair()
        except OSError:
            return None
        spare = Execution(0, ours)
        take = take or self._take
        if origin and self._preload.fork(theirs, spare, take):
            theirs.close()
            return None
        try:
            spare.pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            return None
        if spare.pid == 0:
            # Held here too, it would hide the runner's end from the supervisor.
            ours.close()
            return self.become_supervisor(theirs)
        theirs.close()
        take(spare)
        return None

    def _take(self, spare: Execution) -> None:
        if self._begin(spare):
            if self.ready is None:
                self.ready = spare
            else:
                self.reserve = spare

    def _take_loaded(self, spare: Execution) -> None:
        if self._begin(spare):
            self.loaded = spare

    def _take_context(self, spare: Execution) -> None:
        if not self._begin(spare):
            return
        self.context = spare
        try:
            write_request(spare.request, {"prepare": "context"})
        except BrokenPipeError:
            # Its supervisor reports that it is dead.
            pass

    def _begin(self, spare: Execution) -> bool:
        """Has a new supervisor start its first program; False without descriptors for that."""
        try:
            spare.start_program()
        except OSError:
            spare.control.close()
            return False
        self._adopt(spare)
        return True

    def become_supervisor(self, control: socket.socket) -> Program | None:
        """Turns a forked process into a supervisor; returns only in that of its program."""
        try:
            self._let_go((control.fileno(),))
            return supervise(control)
        except BaseException as error:  # noqa: BLE001 - nothing may unwind into the runner's own code
            os.write(2, f"supervisor: {error!r}\n".encode())
            os._exit(70)

    def become_zygote(self, control: socket.socket, order: dict[str, Any]) -> Program | None:
        """Turns a forked process into a zygote; returns only in that of a program, which this one has forked."""
        try:
            self._let_go((control.fileno(),))
            # Here, so that a runner without one need not have its memory.
            from _glovebox.program.zygote import Zygote

            return Zygote(control, self.become_supervisor).serve(order)
        except BaseException as error:  # noqa: BLE001 - as above
            os.write(2, f"zygote: {error!r}\n".encode())
            os._exit(70)


def _dismiss(supervisor: Execution) -> None:
    """Has a supervisor without a program end; its end then comes as an event."""
    try:
        supervisor.control.shutdown(socket.SHUT_WR)
    except OSError:
        # It is gone already.
        pass
