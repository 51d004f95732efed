"""The text of a result as a reader wants it: a table's cells, not the code or the address of the object that draws it."""

import re
from html.parser import HTMLParser
from typing import Any

LONGEST_REPR = 8000
"""Characters; a longer repr of something that has a table says less than its table."""
MAX_HTML = 256 * 1024
MAX_ROWS = 60
MAX_COLUMNS = 21
"""Columns, as of a printed table, with the one that labels the rows."""
MAX_CELL = 100
_BARE = re.compile(r"<[\w.]+( object)?( at 0x[0-9a-f]+)?>")
"""A repr that names the object and nothing of what is in it."""
_HTML = "<IPython.core.display.HTML object>"
_BREAKS = {"br", "p", "div", "li", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "hr"}
_TABLE = re.compile("<table", re.IGNORECASE)


def improve(given: dict[str, Any]) -> None:
    """Replaces a text that says nothing by that of the html: its tables, or of an object that is just html all of it."""
    text, html = given.get("text"), given.get("html")
    if not isinstance(html, str):
        return
    is_html = text == _HTML or text is None and not given.keys() & {"json", "latex", "markdown"}
    says_little = not isinstance(text, str) or len(text) > LONGEST_REPR or _BARE.fullmatch(text.strip())
    try:
        if is_html:
            given["text"] = _read(html, all_of_it=True) or f"<HTML of {len(html)} characters without text>"
        elif says_little and _TABLE.search(html):
            given["text"] = _read(html) or text or ""
    except Exception:  # noqa: BLE001 - html that is none
        pass


def _read(html: str, *, all_of_it: bool = False) -> str:
    """The tables of some html as text in columns, the first of their rows, below the text around them if all is asked for."""
    reader = _Reader()
    reader.feed(html[:MAX_HTML])
    is_cut = len(html) > MAX_HTML and reader.depth > 0
    if is_cut:
        # Its last row may have been cut, too.
        del reader.tables[-1][-1:]
    around = " ".join("".join(reader.around).split()) if all_of_it else ""
    around = around if len(around) <= LONGEST_REPR else f"{around[:LONGEST_REPR]}…"
    return "\n\n".join(filter(None, [around, *map(_lay_out, reader.tables)])) + ("\n…" if is_cut else "")


def _lay_out(rows: list[list[str]]) -> str:
    width = max((len(row) for row in rows), default=0)
    if width == 0:
        return ""
    shown = [row[:MAX_COLUMNS] + ["…"] * (len(row) > MAX_COLUMNS) for row in rows[:MAX_ROWS]]
    columns = range(min(width, MAX_COLUMNS + 1))
    aligned = [row for row in shown if sum(map(bool, row)) > 1]
    widths = [max((len(row[at]) for row in aligned if at < len(row)), default=0) for at in columns]
    lines = ["  ".join(cell.ljust(widths[at]) for at, cell in enumerate(row)).rstrip() for row in shown]
    left_out = len(rows) - len(shown)
    return "\n".join(lines + ([f"… {left_out} more rows"] if left_out else []))


class _Reader(HTMLParser):
    """Gathers the cells of tables; what is in a table within a cell belongs to the cell's row."""

    def __init__(self) -> None:
        super().__init__()
        self.around: list[str] = []
        """The text outside of tables."""
        self.depth = 0
        """Tables that are open."""
        self.tables: list[list[list[str]]] = []
        self._cell: list[str] | None = None
        self._span = 1
        self._skipping = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style"):
            self._skipping = tag
        elif tag == "table":
            self._end_cell()
            self.depth += 1
            self.tables.append([])
        elif tag == "tr" and self.tables:
            self._end_cell()
            self.tables[-1].append([])
        elif tag in ("td", "th", "caption") and self.tables:
            self._end_cell()
            if tag == "caption" or not self.tables[-1]:
                self.tables[-1].append([])
            span = dict(attrs).get("colspan") or ""
            self._span = min(int(span), MAX_COLUMNS) if span.isdecimal() else 1
            self._cell = []
        elif tag in _BREAKS:
            self.handle_data(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._skipping:
            self._skipping = ""
        elif tag in ("td", "th", "caption", "tr", "table"):
            self._end_cell()
            self.depth -= tag == "table" and self.depth > 0

    def handle_data(self, data: str) -> None:
        if not self._skipping:
            (self.around if self._cell is None else self._cell).append(data)

    def _end_cell(self) -> None:
        if self._cell is None:
            return
        text = " ".join("".join(self._cell).split())
        text = text if len(text) <= MAX_CELL else f"{text[:MAX_CELL]}…"
        self.tables[-1][-1] += [text, *[""] * (self._span - 1)]
        self._cell = None
