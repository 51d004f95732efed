"""Environment variables of one cell: what the interpreter reads of them at its start is set for the time of the cell.

Those that cannot be set in an interpreter that runs are refused by the control plane.
"""

import importlib
import os
import sys
import time
import warnings
from typing import Any


class CellEnvironment:
    """Made before the variables are in the environment."""

    def __init__(self, given: dict[str, str]) -> None:
        self._given = given
        self._before = {name: os.environ.get(name) for name in given}
        self._undo: list[Any] = []

    def begin(self) -> None:
        """Once they are in the environment."""
        if path := self._given.get("PYTHONPATH"):
            self._add_to_path(path.split(os.pathsep))
        if options := self._given.get("PYTHONWARNINGS"):
            self._add_filters(options.split(","))
        if self._given.get("PYTHONDONTWRITEBYTECODE"):
            self._undo.append((setattr, sys, "dont_write_bytecode", sys.dont_write_bytecode))
            sys.dont_write_bytecode = True
        if self._given.get("PYTHONUNBUFFERED"):
            for stream in {sys.__stdout__, sys.__stderr__} - {None}:
                self._undo.append((_set_write_through, stream, False))
                _set_write_through(stream, True)

    def end(self) -> None:
        """Takes back what was set for one cell, so that the next one does not have it."""
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if "TZ" in self._given:
            time.tzset()
        for undo, *arguments in reversed(self._undo):
            try:
                undo(*arguments)
            except Exception:  # noqa: BLE001 - the cell may have put anything in the place of what was set
                continue
        self._undo = []

    def _add_to_path(self, entries: list[str]) -> None:
        added = [os.path.abspath(entry) for entry in entries if entry and entry not in sys.path]
        sys.path[1:1] = added
        importlib.invalidate_caches()
        self._undo += [(sys.path.remove, entry) for entry in added]

    def _add_filters(self, options: list[str]) -> None:
        before = list(warnings.filters)
        process: Any = getattr(warnings, "_processoptions")
        process(options)
        self._undo += [(_remove_filter, entry) for entry in warnings.filters if entry not in before]


def _remove_filter(entry: Any) -> None:
    filters: Any = warnings.filters
    filters.remove(entry)
    # What the filters had decided before is decided again.
    getattr(warnings, "_filters_mutated", getattr(warnings, "_filters_mutated_lock_held", lambda: None))()


def _set_write_through(stream: Any, on: bool) -> None:
    stream.reconfigure(write_through=on)
