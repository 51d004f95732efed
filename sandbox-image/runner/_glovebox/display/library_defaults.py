"""Defaults of libraries that suit a sandbox: set when the code imports them, so that its own go first."""

import functools
import os
import sys
from typing import Any

MAX_COLUMNS = 20
"""Columns of a printed table, as in a notebook of pandas. Without a terminal it would fill 80 characters."""
_WIDTH = 200
"""Characters of a line, after which the columns of a row go on below."""


def for_pandas(pandas: Any) -> None:
    for option, default, value in (("display.max_columns", 0, MAX_COLUMNS), ("display.width", 80, _WIDTH)):
        if pandas.get_option(option) == default:
            pandas.set_option(option, value)


def for_aiohttp(client: Any) -> None:
    """A session looks at the variables of the proxy only when it is told to, and there is no other way out of a sandbox."""
    session: Any = client.ClientSession
    original = session.__init__

    @functools.wraps(original)
    def __init__(self: Any, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **{"trust_env": True, **options})

    session.__init__ = __init__


def for_polars(_polars: Any) -> None:
    os.environ.setdefault("POLARS_FMT_MAX_COLS", str(MAX_COLUMNS))
    os.environ.setdefault("POLARS_TABLE_WIDTH", str(_WIDTH))


def for_tqdm_notebook(notebook: Any) -> None:
    """Bars as text: its own are made of widgets, which need a notebook, and a package that may not be there."""
    standard: Any = sys.modules["tqdm.std"]

    class tqdm_notebook(standard.tqdm):  # type: ignore[misc, name-defined]
        def __init__(self, *arguments: Any, display: bool = True, **options: Any) -> None:
            super().__init__(*arguments, **options)

    def tnrange(*arguments: Any, **options: Any) -> Any:
        return tqdm_notebook(range(*arguments), **options)

    notebook.tqdm_notebook = notebook.tqdm = tqdm_notebook
    notebook.tnrange = notebook.trange = tnrange
