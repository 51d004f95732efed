"""The standard streams of a program."""

import os
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


def ensure_standard_streams() -> None:
    """Opens them, if nothing has done so in this process or in one that it was forked from; nothing is behind them yet."""
    global _are_open
    if _are_open:
        return
    _are_open = True
    null, out, into = os.open(os.devnull, os.O_RDWR), *os.pipe()
    # As in a program, where they are pipes: what a stream cannot do is asked once.
    for descriptor, behind in enumerate((null, into, into)):
        os.dup2(behind, descriptor)
    for name in _MODES:
        stream = open_stream(name)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)
    for descriptor in (null, out, into):
        os.close(descriptor)
