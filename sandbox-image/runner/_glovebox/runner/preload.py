"""Which modules programs find loaded, and the process that they are forked from for it.

Whatever happens to that process, the runner can still fork by itself.
"""

import os
import select
import socket
import time
from collections.abc import Callable
from typing import Any

from _glovebox import linux
from _glovebox.program.program import Pipes, Program
from _glovebox.program.shadowed_modules import ShadowedModules
from _glovebox.runner.execution import Execution
from _glovebox.runner.wanted_modules import WantedModules
from _glovebox.runner.zygote_handle import ZygoteHandle
from _glovebox.wire.reactor import Reactor

FORK_LIMIT_S = 1.0
"""Seconds for a zygote to fork: something of the session may have stopped it."""
HOLD_LIMIT_S = 3.0
"""Seconds that code waits for an import under way that it needs too, instead of doing the same beside it."""
GROW_LIMIT_S = 25.0
"""Seconds for all imports; a little more than a zygote gives them."""
LEAST_ROOM_TO_GROW = 1 / 2
LEAST_ROOM_TO_STAY = 1 / 8
MOST_MEMORY = 1 / 4
"""Parts of the memory limit: what must be free, and what loaded modules may take."""
MAX_ORDER = 500
"""Names of modules in one message."""
MAX_ATTEMPTS = 100
"""Attempts of one runner: each module that cannot be had costs one."""

Become = Callable[[socket.socket, dict[str, Any]], Program | None]
"""Turns a fork of the runner into a zygote."""


class Preload:
    def __init__(self, send: Callable[[bytes], None], reactor: Reactor) -> None:
        self._reactor = reactor
        self._wanted = WantedModules(send)
        self._setting: Any = None
        self._ready: ZygoteHandle | None = None
        self._growing: ZygoteHandle | None = None
        self._looked_up: set[str] = set()
        """Top-level names that its imports asked for: a module of the session by such a name retires it."""
        self._coming: tuple[Execution, Callable[[Execution], None], float] | None = None
        """The process that it is about to fork, the function that gets it, and the deadline."""
        self._shadows = ShadowedModules()
        self._attempts = 0

    def configure(self, setting: Any) -> None:
        """`adaptive`, `none`, or names of modules: each control plane says it, most often the same."""
        if setting != self._setting:
            self._setting = setting
            self._wanted.configure(setting)
            self._retire()

    def learn(self, names: Any, oom_killed: bool) -> None:
        """Takes the names of what an execution has imported, and checks that there is still memory."""
        self._wanted.add(names)
        if oom_killed and self._wanted.adaptive:
            # There was no memory for it after all: begins again with what is imported from now on.
            self._wanted.forget()
            self._retire()
        elif self._ready and not _has_room(LEAST_ROOM_TO_STAY):
            self._retire()

    @property
    def forking(self) -> bool:
        """Whether a process is on its way."""
        return self._coming is not None

    def origin_for(self, request: dict[str, Any] | None) -> int:
        """Returns the generation of modules that this code is to find loaded; 0 if it is to find none."""
        if not self._ready:
            return 0
        if request is None:
            return self._ready.generation
        if self._shadows.may_hide(self._looked_up):
            self._retire()
            return 0
        # Modules read their environment when they are imported.
        return 0 if request.get("env") else self._ready.generation

    def delays(self, request: dict[str, Any]) -> bool:
        """Whether that code should wait for an import under way."""
        growing = self._growing
        return (
            growing is not None
            and time.monotonic() < growing.started + HOLD_LIMIT_S
            and not request.get("env")
            and growing.is_imported_by(request.get("code") or "")
        )

    def patience_s(self) -> float | None:
        """Seconds until `check` has something to do, if nothing happens before."""
        now = time.monotonic()
        deadlines = [self._coming[2]] if self._coming else []
        if self._growing:
            held = self._growing.started + HOLD_LIMIT_S
            deadlines.append(held if held > now else self._growing.started + GROW_LIMIT_S)
        return max(0.001, min(deadlines) - now) if deadlines else None

    def check(self) -> None:
        """Drops zygotes that take too long."""
        now = time.monotonic()
        if self._coming and now > self._coming[2] and self._ready:
            self._lose(self._ready)
        if self._growing and now > self._growing.started + GROW_LIMIT_S:
            self._lose(self._growing)

    def fork(self, control: socket.socket, pipes: Pipes, execution: Execution, take: Callable[[Execution], None]) -> bool:
        """Has a supervisor forked with these ends; False if nothing can. `take` gets it when it is there."""
        if not self._ready:
            return False
        self._ready.wake()
        if not self._order(self._ready, {"fork": True}, [control.fileno(), *pipes]):
            return False
        execution.origin = self._ready.generation
        self._coming = (execution, take, time.monotonic() + FORK_LIMIT_S)
        return True

    def reap(self) -> None:
        """Lets ended supervisors be collected by their parent."""
        if self._ready:
            self._order(self._ready, {}, [])

    def grow(self, become: Become, idle: bool) -> Program | None:
        """Starts to import what is missing, if there is memory, while nothing runs. Returns as `become` does."""
        first_of_list = not self._wanted.adaptive and self._attempts == 0
        if self._growing or not self._wanted.missing or not (idle or first_of_list):
            return None
        if self._attempts >= MAX_ATTEMPTS or not _has_room(LEAST_ROOM_TO_GROW):
            return None
        self._attempts += 1
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError:
            return None
        names = self._wanted.missing[:MAX_ORDER]
        order = {"import": names, "any": not self._wanted.adaptive}
        if self._ready:
            # The new one has all that this one has.
            started = self._order(self._ready, order, [theirs.fileno()])
        else:
            pid = _fork()
            if pid == 0:
                ours.close()
                return become(theirs, order)
            started = pid > 0
        theirs.close()
        if started:
            self._growing = zygote = ZygoteHandle(ours, names, self._attempts)
            self._reactor.watch(ours.fileno(), select.EPOLLIN, lambda _descriptor, _events: self._hear(zygote))
        else:
            ours.close()
        return None

    def close(self) -> None:
        """Closes the sockets to zygotes, in a forked process: they are the parent's."""
        for zygote in (self._ready, self._growing):
            if zygote:
                zygote.control.close()
        self._ready = self._growing = None
        if self._coming:
            self._coming[0].control.close()
            self._coming = None

    def _hear(self, zygote: ZygoteHandle) -> None:
        message = zygote.hear()
        if message is None:
            self._lose(zygote)
        elif isinstance(message.get("failed"), str):
            self._wanted.refuse([message["failed"]], str(message.get("reason")))
            self._drop(zygote)
        elif isinstance(message.get("loaded"), list) and zygote is self._growing:
            self._switch_to(zygote, message)
        elif "forked" in message and self._coming and zygote is self._ready:
            execution, take, _ = self._coming
            if isinstance(message["forked"], int) and message["forked"] > 1:
                self._coming = None
                execution.pid = message["forked"]
                take(execution)
            else:
                # No memory or no processes: then not for loaded modules either.
                self._retire()

    def _switch_to(self, zygote: ZygoteHandle, message: dict[str, Any]) -> None:
        memory = linux.memory()
        if memory and int(message["bytes"]) > memory[0] * MOST_MEMORY:
            self._wanted.refuse(zygote.names, "with what it comes with, it takes more than a quarter of the memory")
            self._drop(zygote)
            return
        self._growing = None
        had = self._wanted.had
        if self._ready:
            self._drop(self._ready)
        self._ready, self._looked_up = zygote, {str(name) for name in message["loaded"]}
        self._wanted.have(had | set(zygote.names))

    def _lose(self, zygote: ZygoteHandle) -> None:
        """Drops a zygote that has ended, hangs or makes no sense.

        A module that it imported did that, or something of the session.
        """
        if zygote is self._growing and zygote.began:
            self._wanted.refuse([zygote.began], "its import crashed or took too long")
        self._drop(zygote)

    def _retire(self) -> None:
        """Drops all zygotes: nothing is found loaded until it has been imported again."""
        for zygote in (self._ready, self._growing):
            if zygote:
                self._drop(zygote)

    def _drop(self, zygote: ZygoteHandle) -> None:
        self._reactor.unwatch(zygote.control.fileno())
        zygote.end()
        if zygote is self._growing:
            self._growing = None
        if zygote is self._ready:
            self._ready = None
            self._wanted.have(set())
            if self._coming:
                execution = self._coming[0]
                self._coming = None
                execution.control.close()
                execution.close()

    def _order(self, zygote: ZygoteHandle, order: dict[str, Any], descriptors: list[int]) -> bool:
        try:
            zygote.order(order, descriptors)
        except OSError:
            self._lose(zygote)
            return False
        return True


def _has_room(part: float) -> bool:
    """Whether such a part of the memory limit is free."""
    memory = linux.memory()
    return memory is None or memory[0] - memory[1] >= memory[0] * part


def _fork() -> int:
    """Forks as `os.fork` does; -1 where no process is to be had."""
    try:
        return os.fork()
    except OSError:
        return -1
