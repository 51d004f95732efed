"""The modules that programs are to find loaded, and those that cannot be loaded for them."""

from collections.abc import Callable
from typing import Any

from _glovebox.process.imported_modules import is_name
from _glovebox.wire import frames

MAX_NAMES = 3000
MAX_NOTICES = 16
"""Notices of one runner; the control plane takes a few more."""


class WantedModules:
    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self.adaptive = False
        """Whether what executions import is wanted."""
        self.had: set[str] = set()
        self.missing: list[str] = []
        """What is neither had nor refused, in the order in which it was imported."""
        self._names: list[str] = []
        self._expected: list[str] = []
        """What is wanted only as long as the control plane's expectation is open."""
        self._refused: set[str] = set()
        self._notices = 0

    def configure(self, setting: Any) -> None:
        """`adaptive`, `none`, or names of modules."""
        self.adaptive = setting == "adaptive"
        self._names = [name for name in setting if is_name(name)] if isinstance(setting, list) else []
        self._find_missing()

    def add(self, names: Any) -> None:
        """Adds what a program says that it has imported. A hostile one may say anything."""
        if self.adaptive and isinstance(names, list):
            known = {*self._names}
            self._names += [name for name in names if is_name(name) and name not in known]
            del self._names[MAX_NAMES:]
            self._find_missing()

    def expect(self, names: list[str]) -> None:
        """Wants these too, until other ones are expected; where the runner is told what to load, nothing else is."""
        self._expected = names if self.adaptive else []
        self._find_missing()

    def keep_expected(self) -> None:
        """Wants what is expected for as long as the session lives."""
        known = {*self._names}
        self._names += [name for name in self._expected if name not in known]
        del self._names[MAX_NAMES:]
        self.expect([])

    def forget(self) -> None:
        self._names = []
        self._expected = []
        self._find_missing()

    def have(self, names: set[str]) -> None:
        self.had = names
        self._find_missing()

    def refuse(self, names: list[str], reason: str) -> None:
        """These, and what is in them, are not tried again; told to the control plane if there is a reason."""
        self._refused.update(names)
        self._find_missing()
        if reason and self._notices < MAX_NOTICES:
            self._notices += 1
            failed = {"module": names[0], "reason": reason[:500]}
            self._send(frames.pack_json(frames.NOTE, 0, {"preload_failed": failed}))

    def _find_missing(self) -> None:
        wanted = [*self._names, *self._expected]
        self.missing = [name for name in wanted if name not in self.had and self._refused.isdisjoint(_with_parents(name))]


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
