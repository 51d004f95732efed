"""The standard streams of a program."""

import sys
from typing import TextIO

_MODES = {"stdin": "r", "stdout": "w", "stderr": "w"}


def open_stream(name: str) -> TextIO:
    """Text over descriptor 0, 1 or 2, with a terminal's buffering."""
    mode = _MODES[name]
    return open(
        list(_MODES).index(name),
        mode,
        buffering=1 if mode == "w" else -1,
        encoding="utf-8",
        # As CPython in a UTF-8 locale: undecodable input survives, and stderr never fails to print.
        errors="backslashreplace" if name == "stderr" else "surrogateescape",
        closefd=False,
    )


_are_open = False
"""A preloaded module may hold the streams that were there when it was imported: they stay."""


def open_standard_streams() -> None:
    """Text over the new descriptors 0, 1 and 2, with a terminal's buffering."""
    global _are_open
    _are_open = True
    for name in _MODES:
        stream = open_stream(name)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def ensure_standard_streams() -> None:
    """Opens them, if nothing has done so in this process or in one that it was forked from."""
    if not _are_open:
        open_standard_streams()
