"""What the control plane expects of the session that gets this sandbox, because sessions of late did it.

Modules and the process of a context are made ready for that while nobody waits. A session that shows no need of them
gives them up again; what it does use is its own from then on.
"""

import re
import time
from collections.abc import Callable
from typing import Any

from _glovebox.process.imported_modules import is_name
from _glovebox.wire import frames

UNUSED_S = 3.0
"""Seconds after code that used nothing of it until all is given up: a session may look at its files first."""
RUNNING_S = 10.0
"""Seconds that such code runs until all is given up."""
NO_CODE_S = 60.0
"""The same after an operation on files or an installation, which says little about the code that follows."""
MAX_CODE = 64 * 1024
"""Characters of code that are looked at."""
MAX_NOTES = 8
"""Notes of one runner on what is ready."""


class Expectation:
    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self.modules: list[str] = []
        """Modules that are expected, as long as that is open."""
        self.context = False
        """Whether a first cell is expected, as long as that is open."""
        self.limit = 0
        """Bytes that what is loaded ahead may take."""
        self.begun = False
        """Whether the session has begun: nothing more is made ready then."""
        self._due: float | None = None
        self._bytes = {"modules": 0, "context": 0}
        self._over: str | None = None
        self._owes_note = False
        self._notes = 0

    def configure(self, expected: Any) -> None:
        """Takes what one control plane expects; another one, which comes to a session in use, expects nothing."""
        if not isinstance(expected, dict) or self.begun:
            self.give_up()
            # The next one may not know such notes.
            self._owes_note = False
            return
        self.modules = [name for name in expected.get("modules", ()) if is_name(name)]
        self.context = expected.get("context") is True
        self.limit = int(expected.get("bytes", 0))
        self._owes_note = True

    @property
    def is_open(self) -> bool:
        return bool(self.modules) or self.context

    def used_by(self, request: dict[str, Any]) -> list[str]:
        """The expected modules that the code looks as if it imported."""
        code = request.get("code") if "kind" not in request else None
        if not self.modules or not code:
            return []
        words: set[str] = set()
        # Compiled only where modules are expected: a runner's memory is in each of its processes.
        for imported in re.finditer(r"\b(?:import|from)\b([^\n;]*)", code[:MAX_CODE]):
            words.update(re.findall(r"\w+", imported[1]))
        return [name for name in self.modules if name.partition(".")[0] in words]

    def begin(self, request: dict[str, Any]) -> None:
        """A request of the session begins."""
        self.begun = True
        self._give_up_within(RUNNING_S if "kind" not in request else NO_CODE_S)

    def end(self, request: dict[str, Any]) -> None:
        """A request of the session has ended."""
        if "kind" not in request:
            self._give_up_within(UNUSED_S)

    def _give_up_within(self, seconds: float) -> None:
        """Nothing puts it off: a session that calls all the time would never have its own modules loaded."""
        due = time.monotonic() + seconds
        self._due = due if self._due is None else min(due, self._due)

    def use_modules(self) -> None:
        """They are the session's own from now on."""
        self.modules = []
        self.note("modules", 0)

    def use_context(self) -> None:
        self.context = False
        self.note("context", 0)

    def give_up(self) -> None:
        self.use_modules()
        self.use_context()
        self._due = None

    def cut(self, name: str) -> None:
        """Expects no longer this module, which takes too much memory, nor what comes after it."""
        if name in self.modules:
            self._over = name
            del self.modules[self.modules.index(name) :]

    def note(self, what: str, size: int) -> None:
        """Notes how many bytes the `modules`, or the process of a `context`, take."""
        if self._bytes[what] != size:
            self._bytes[what] = size
            self._owes_note = True

    @property
    def room(self) -> int:
        """Bytes that may be taken still."""
        return max(0, self.limit - sum(self._bytes.values()))

    def tell(self) -> None:
        """Tells the control plane what is ready, if that has changed."""
        if not self._owes_note or self._notes == MAX_NOTES:
            return
        self._owes_note = False
        self._notes += 1
        ready = {"bytes": sum(self._bytes.values()), **({"over": self._over} if self._over else {})}
        self._send(frames.pack_json(frames.NOTE, 0, {"preloaded": ready}))

    def due_in_s(self) -> float | None:
        """Seconds until it is to be given up; None while that is open."""
        return None if self._due is None or not self.is_open else self._due - time.monotonic()
