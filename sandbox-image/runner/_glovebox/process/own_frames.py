"""Tracebacks without the runner's own frames. Imported only when there is one to show."""

import os
from collections.abc import Iterator
from types import TracebackType

from _glovebox.paths import RUNNER_DIRECTORY
from _glovebox.process.hidden_frames import HIDDEN_FILE

_OWN = (RUNNER_DIRECTORY + os.sep, HIDDEN_FILE)


def drop_own_frames(error: BaseException) -> None:
    """Drops them from this exception and from those that it was raised from."""
    for each in with_causes(error):
        each.__traceback__ = _others(each.__traceback__)


def with_causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and those that it was raised from, each once."""
    remaining: list[BaseException | None] = [error]
    seen = set()
    while remaining:
        each = remaining.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        remaining += [each.__context__, each.__cause__]
        yield each


def _others(trace: TracebackType | None) -> TracebackType | None:
    kept = []
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(_OWN):
            kept.append(trace)
        trace = trace.tb_next
    for at in reversed(range(len(kept))):
        kept[at].tb_next = kept[at + 1] if at + 1 < len(kept) else None
    return kept[0] if kept else None
