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
from _glovebox.process.environment import ACCESS
from _glovebox.program.program import Program
from _glovebox.program.shadowed_modules import ShadowedModules
from _glovebox.runner.execution import Execution
from _glovebox.runner.executions import Executions
from _glovebox.runner.expectation import Expectation
from _glovebox.runner.wanted_modules import WantedModules
from _glovebox.runner.zygote_handle import ZygoteHandle
from _glovebox.wire.reactor import Reactor

FORK_LIMIT_S = 1.0
"""Seconds for a zygote to fork: something of the session may have stopped it."""
HOLD_LIMIT_S = 3.0
"""Seconds that code waits for an import under way that it needs too, instead of doing the same beside it."""
GROW_LIMIT_S = 25.0
"""Seconds for all imports; a little more than a zygote gives them."""
LOOK_EVERY_S = 0.05
"""Seconds between looks at the memory while code runs that has not used what was loaded ahead."""
LEAST_ROOM_TO_GROW = 1 / 2
LEAST_ROOM_TO_STAY = 1 / 8
LEAST_ROOM_UNUSED = 1 / 2
MOST_MEMORY = 1 / 4
"""Parts of the memory limit: what must be free, and what loaded modules may take."""
MAX_ORDER = 500
"""Names of modules in one message."""
MAX_ATTEMPTS = 100
"""Attempts of one runner: each module that cannot be had costs one."""

Become = Callable[[socket.socket, dict[str, Any]], Program | None]
"""Turns a fork of the runner into a zygote."""


class Preload:
    def __init__(self, send: Callable[[bytes], None], reactor: Reactor, executions: Executions) -> None:
        self._reactor = reactor
        self._executions = executions
        self._wanted = WantedModules(send)
        self.expected = Expectation(send)
        self._setting: Any = None
        self._ready: ZygoteHandle | None = None
        self._growing: ZygoteHandle | None = None
        self._looked_up: set[str] = set()
        """Top-level names that its imports asked for: a module of the session by such a name retires it."""
        self._coming: tuple[Execution, Callable[[Execution], None], float] | None = None
        """The process that it is about to fork, the function that gets it, and the deadline."""
        self._shadows = ShadowedModules()
        self._attempts = 0
        self._next_look = 0.0

    def configure(self, configuration: dict[str, Any]) -> None:
        """Takes what to load: each control plane says it, most often the same, and more while nobody uses the sandbox."""
        setting = configuration.get("preload")
        if setting != self._setting:
            self._setting = setting
            self._wanted.configure(setting)
            self._retire()
        was_open = bool(self.expected.modules)
        self.expected.configure(configuration.get("expect"))
        self._wanted.expect(self.expected.modules)
        if was_open and not self.expected.modules:
            self._retire()

    def begin(self, request: dict[str, Any]) -> list[str]:
        """A request gets its process. Returns the modules that were loaded ahead for it and that it uses."""
        expected = self.expected
        used = expected.used_by(request)
        if expected.modules and "kind" not in request:
            if used and self._ready:
                self._wanted.keep_expected()
                expected.use_modules()
            elif not self._ready:
                # It has not become ready in time: the session's own imports come first.
                self._give_up_modules()
        expected.begin(request)
        self._next_look = time.monotonic() + LOOK_EVERY_S
        return used if self._ready else []

    def learn(self, request: dict[str, Any], names: Any, oom_killed: bool) -> None:
        """Takes the names of what an execution has imported, and checks that there is still memory."""
        self.expected.end(request)
        self._wanted.add(names)
        if self._ready and self._ready.has_grown():
            self._wanted.refuse(self._ready.names, "it grows while nothing uses it")
            self._retire()
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
        expected = self.expected
        if request is None:
            return 0 if expected.modules else self._ready.generation
        if expected.modules and not expected.used_by(request):
            # It may need the memory for itself.
            return 0
        if self._shadows.may_hide(self._looked_up):
            self._retire()
            return 0
        return 0 if _may_change_imports(request) else self._ready.generation

    @property
    def generation(self) -> int:
        """The generation of modules that are loaded; 0 if there are none."""
        return self._ready.generation if self._ready else 0

    @property
    def grows(self) -> bool:
        """Whether modules are being imported."""
        return self._growing is not None

    def delays(self, request: dict[str, Any]) -> bool:
        """Whether that code should wait for an import under way."""
        growing = self._growing
        if growing is None or time.monotonic() >= growing.started + HOLD_LIMIT_S or _may_change_imports(request):
            return False
        if not growing.is_imported_by(request.get("code") or ""):
            return False
        if self.expected.modules and not growing.hurried:
            # Not for all that may be of use: whoever waits gets what is loaded with the module under way.
            growing.hurried = True
            self._order(growing, {}, [])
        return self._growing is growing

    def patience_s(self) -> float | None:
        """Seconds until `check` has something to do, if nothing happens before."""
        now = time.monotonic()
        deadlines = [self._coming[2]] if self._coming else []
        if self._growing:
            held = self._growing.started + HOLD_LIMIT_S
            deadlines.append(held if held > now else self._growing.started + GROW_LIMIT_S)
        due_in_s = self.expected.due_in_s()
        if due_in_s is not None:
            deadlines.append(now + due_in_s)
            if self._executions.running:
                deadlines.append(self._next_look)
        return max(0.001, min(deadlines) - now) if deadlines else None

    def check(self) -> None:
        """Drops zygotes that take too long."""
        now = time.monotonic()
        if self._coming and now > self._coming[2] and self._ready:
            self._lose(self._ready)
        if self._growing and now > self._growing.started + GROW_LIMIT_S:
            self._lose(self._growing)
        due_in_s = self.expected.due_in_s()
        if due_in_s is not None and due_in_s <= 0:
            self.give_up()
        elif due_in_s is not None and self._executions.running and now >= self._next_look:
            self._next_look = now + LOOK_EVERY_S
            if not _has_room(LEAST_ROOM_UNUSED):
                self.give_up()

    def give_up(self) -> None:
        """Drops what the session was expected to use and has not used."""
        if self.expected.modules:
            self._give_up_modules()
        self.expected.give_up()

    def _give_up_modules(self) -> None:
        self._wanted.expect([])
        self.expected.use_modules()
        self._retire()

    def fork(self, control: socket.socket, execution: Execution, take: Callable[[Execution], None]) -> bool:
        """Has a supervisor forked with this end; False if nothing can. `take` gets it when it is there."""
        if not self._ready:
            return False
        self._ready.wake()
        if not self._order(self._ready, {"fork": True}, [control.fileno()]):
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
        if self.expected.modules:
            order["limit"] = min(self.expected.limit, _most_memory() - linux.anonymous_memory())
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
            if message.get("over"):
                self.expected.cut(message["failed"])
                self._wanted.expect(self.expected.modules)
            else:
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
        if int(message["bytes"]) > _most_memory():
            self._wanted.refuse(zygote.names, "with what it comes with, it takes more than a quarter of the memory")
            self._drop(zygote)
            return
        self._growing = None
        had = self._wanted.had
        if self._ready:
            self._drop(self._ready)
        self._ready, self._looked_up = zygote, {str(name) for name in message["loaded"]}
        zygote.bytes = int(message["bytes"])
        self._wanted.have(had | {str(name) for name in message["names"]})
        if self.expected.modules:
            self.expected.note("modules", int(message["own"]))

    def _lose(self, zygote: ZygoteHandle) -> None:
        """Drops a zygote that has ended, hangs or makes no sense.

        A module that it imported did that, or something of the session.
        """
        if zygote is self._growing and zygote.began:
            self._wanted.refuse([zygote.began], "its import crashed or took too long")
        self._drop(zygote)

    def _retire(self) -> None:
        """Drops all zygotes: nothing is found loaded until it has been imported again."""
        if self.expected.begun and self.expected.modules:
            self._wanted.expect([])
            self.expected.use_modules()
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


def _may_change_imports(request: dict[str, Any]) -> bool:
    """Whether code has variables of its caller: modules read their environment when they are imported. A command finds none."""
    return request.get("kind") != "command" and not ACCESS.issuperset(request.get("env", ()))


def _most_memory() -> int:
    """Bytes that loaded modules may take."""
    memory = linux.memory()
    return int(memory[0] * MOST_MEMORY) if memory else 1 << 60


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
