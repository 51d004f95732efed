"""What a context remembers of its cells: the last ones' text, for tracebacks, `inspect`, `In` and `%history`."""

import linecache
import re
from collections import deque
from collections.abc import Callable
from typing import Any

from IPython.core.compilerop import CachingCompiler
from IPython.core.history import HistoryManager

MAX_CELLS = 1000
MAX_CHARACTERS = 4_000_000
"""Characters of all cells that are remembered."""
CELL = re.compile(r"<cell \d")
"""Matches the file names of cells."""
BLANK = re.compile(r"(?:[^\S\n]*\n)*")
_INTERACTIVE = 0x200 | 0x4000
"""The compiler's flags for a line of a prompt, which another may follow: DONT_IMPLY_DEDENT, ALLOW_INCOMPLETE_INPUT."""


class Recent[Key]:
    """Forgets the oldest of what it is told of when there is too much of it, but never the newest."""

    def __init__(self, forget: Callable[[Key], object]) -> None:
        self._forget = forget
        self._sizes: deque[tuple[Key, int]] = deque()
        self._total = 0

    def add(self, key: Key, size: int) -> None:
        self._sizes.append((key, size))
        self._total += size
        while len(self._sizes) > 1 and (len(self._sizes) > MAX_CELLS or self._total > MAX_CHARACTERS):
            oldest, its_size = self._sizes.popleft()
            self._total -= its_size
            self._forget(oldest)


class Compiler(CachingCompiler):
    """Names each cell `<cell 3 of CONTEXT>` and keeps its lines where tracebacks and `inspect` look for them."""

    context = ""

    def __init__(self) -> None:
        super().__init__()
        # A cell is whole: what is not closed in it is an error, told as in a script.
        self.flags &= ~_INTERACTIVE
        self._recent = Recent[str](lambda name: linecache.cache.pop(name, None))
        self._part = (0, 0)
        self._blank = ("", "")

    def cache(self, transformed_code: str, number: int = 0, raw_code: str | None = None) -> str:
        # A magic may run cells within a cell, which have the same number.
        part = self._part[1] + 1 if self._part[0] == number else 1
        self._part = (number, part)
        name = f"<cell {number}{f'.{part}' if part > 1 else ''}{self.context and f' of {self.context}'}>"
        # IPython leaves out empty lines at the start, and with them the count of the lines that people see.
        blank = BLANK.match(raw_code or "").group().count("\n")
        self._blank = (name, "\n" * blank)
        text = "\n" * blank + transformed_code
        linecache.cache[name] = (len(text), None, [f"{line}\n" for line in text.split("\n")], name)
        self._recent.add(name, len(text))
        return name

    def ast_parse(self, source: str, filename: str = "<unknown>", symbol: str = "exec") -> Any:
        name, blank = self._blank
        return super().ast_parse(blank + source if filename == name else source, filename, symbol)


class History(HistoryManager):
    """The text of cells in `In`, in memory only; an old cell's is empty."""

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self._recent = Recent[int](self._forget)

    def _forget(self, number: int) -> None:
        self.input_hist_parsed[number] = self.input_hist_raw[number] = ""

    def store_inputs(self, line_num: int, source: str, source_raw: str | None = None) -> None:
        raw = source if source_raw is None else source_raw
        self.input_hist_parsed.append(source.rstrip("\n"))
        self.input_hist_raw.append(raw.rstrip("\n"))
        self._recent.add(len(self.input_hist_raw) - 1, len(source) + len(raw))
        shown = self.input_hist_raw[-4:-1]
        names = {"_" + "i" * back: shown[-back] for back in (1, 2, 3) if back <= len(shown)}
        self.shell.push(names, interactive=False)

    def store_output(self, line_num: int) -> None:
        """Values are in `Out`; the errors that IPython keeps beside them have no bound."""
        self.exceptions.clear()

    def end_session(self) -> None:
        pass
