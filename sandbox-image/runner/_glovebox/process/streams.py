"""The standard streams of a program."""

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
