"""Tables of pandas."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from _glovebox.display.call_repr import ask, text_of
from _glovebox.display.plain_json import TooLarge, plain

MAX_ROWS = 100
MAX_COLUMNS = 50
"""Columns of a table's JSON."""
_MAX_CELL = 1000
_SHOWN = {"display.max_rows": 200, "display.max_columns": 50, "display.max_colwidth": 500}
"""The most of pandas' own options: None, for all of a table, would build it all as text."""


def describe(pandas: Any, value: Any) -> dict[str, Any] | None:
    """The mime bundle of a DataFrame or Series; None for anything else.

    Text and html are pandas' own, with the middle of a large table left out. The json is

    - of a frame `{"columns": [label], "index": [label], "data": [[cell]], "rows": n, "total_columns": n}`, row by row,
      with the first 100 rows and 50 columns;
    - of a series `{"name": label, "index": [label], "data": [cell], "rows": n}` with the first 100 rows.

    A cell or label is a JSON value: NaN, NaT and infinities are null, integers beyond 2^53 text, times ISO 8601, the
    labels of a MultiIndex lists, and what has no JSON form is its `str`, cut after 1000 characters.
    """
    is_frame = isinstance(value, pandas.DataFrame)
    if not is_frame and not isinstance(value, pandas.Series):
        return None
    with _limit_options(pandas):
        bundle = {"text/plain": text_of(value), "text/html": ask(value if is_frame else value.to_frame(), "_repr_html_")}
    bundle["application/json"] = _frame(value) if is_frame else _series(value)
    return bundle


def _limit_options(pandas: Any) -> AbstractContextManager[None]:
    changes = [
        part
        for name, most in _SHOWN.items()
        if (set_to := pandas.get_option(name)) is None or set_to > most
        for part in (name, most)
    ]
    return pandas.option_context(*changes) if changes else nullcontext()


def _frame(frame: Any) -> dict[str, Any]:
    shown = frame.iloc[:MAX_ROWS, :MAX_COLUMNS]
    columns = [shown.iloc[:, number].tolist() for number in range(shown.shape[1])]
    return {
        "columns": _cells(shown.columns.tolist()),
        "index": _cells(shown.index.tolist()),
        "data": [_cells(column[row] for column in columns) for row in range(len(shown))],
        "rows": len(frame),
        "total_columns": frame.shape[1],
    }


def _series(series: Any) -> dict[str, Any]:
    shown = series.iloc[:MAX_ROWS]
    return {
        "name": _cell(series.name),
        "index": _cells(shown.index.tolist()),
        "data": _cells(shown.tolist()),
        "rows": len(series),
    }


def _cells(values: Any) -> list[Any]:
    return [_cell(value) for value in values]


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _MAX_CELL else f"{value[:_MAX_CELL]}…"
    try:
        try:
            return plain(value, _MAX_CELL)
        except TooLarge:
            return f"{str(value)[:_MAX_CELL]}…"
    except Exception:  # noqa: BLE001 - the code's own object
        return None
