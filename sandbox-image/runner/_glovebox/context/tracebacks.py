"""Tracebacks of cells, as the interpreter shows those of a script."""

import linecache
import os
import sys
import traceback
from collections.abc import Iterator
from types import TracebackType

import IPython
from IPython.core.error import UsageError

from _glovebox.context.history import CELL
from _glovebox.paths import RUNNER_DIRECTORY
from _glovebox.process.hidden_frames import HIDDEN_FILE
from _glovebox.process.own_frames import with_causes

MAX_TRACEBACK = 64 * 1024
"""Characters of a traceback that are shown, from its end, which says most."""
OWN = (RUNNER_DIRECTORY + os.sep, HIDDEN_FILE, os.path.dirname(IPython.__file__) + os.sep)
"""Folders of code that is of no interest to those who wrote the cell."""


def write_error(text: str) -> None:
    """Writes to stderr, or to what it was before the code replaced it by something that fails."""
    try:
        sys.stdout.flush()
    except Exception:  # noqa: BLE001 - closed, or replaced
        pass
    for name in ("stderr", "__stderr__"):
        try:
            stream = getattr(sys, name)
            stream.write(text)
            stream.flush()
            return
        except Exception:  # noqa: BLE001 - closed, or replaced
            continue


def show(error: BaseException) -> None:
    """Shows an exception on stderr. Its traceback loses what is not the cell's; never raises an error."""
    _trim(error)
    sys.last_traceback = error.__traceback__
    write_error(f"UsageError: {error}\n" if isinstance(error, UsageError) else _describe(error))


def _trim(error: BaseException) -> None:
    """Leaves out, here and in what led to it, the frames before the cell and those of IPython's magics."""
    for each in with_causes(error):
        each.__traceback__ = _own_part(each)
        if isinstance(each, SyntaxError) and each.text is None and each.filename and each.lineno:
            each.text = linecache.getline(each.filename, each.lineno) or None


def _own_part(error: BaseException) -> TracebackType | None:
    whole = list(_each(error.__traceback__))
    # What does not compile has no frame of its own, only those of the compiler's callers.
    none = len(whole) if isinstance(error, SyntaxError) else 0
    start = next((at for at, each in enumerate(whole) if CELL.match(each.tb_frame.f_code.co_filename)), none)
    part: TracebackType | None = None
    for each in reversed(whole[start:]):
        if not each.tb_frame.f_code.co_filename.startswith(OWN):
            part = TracebackType(part, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return part


def _each(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _describe(error: BaseException) -> str:
    try:
        text = "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - the exception's class is the code's own
        text = f"{type(error).__name__}\n"
    left_out = len(text) - MAX_TRACEBACK
    return text if left_out <= 0 else f"… {left_out} characters left out …\n{text[-MAX_TRACEBACK:]}"
