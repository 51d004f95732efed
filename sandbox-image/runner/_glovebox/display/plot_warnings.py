"""What matplotlib warns of: once in an execution, and with the line of the code rather than of what draws for it."""

import linecache
import logging
import os
import re
import sys
import warnings
from types import FrameType
from typing import Any

from _glovebox.display import formats
from _glovebox.paths import RUNNER_DIRECTORY

_RUNNER = RUNNER_DIRECTORY + os.sep
_LIBRARIES = (_RUNNER, os.path.dirname(os.__file__) + os.sep, "<frozen ", "<importlib.")
_PACKAGES = re.compile(r"/(site|dist)-packages/")
_GLYPH = re.compile(r"Glyph (\d+) \(.*?\) missing from font\(s\) (.*)", re.DOTALL)
_FEW = 8
"""Fonts of a list that is told; matplotlib names all that it has tried, in no order."""
_NAMED = re.compile(r"'([^']+)'|found: (.+)$")

_told: set[Any] = set()
_registry: dict[Any, Any] = {}
"""The registry of what was warned of, in the place of Python's with each module: a context's would outlast the execution."""


def begin() -> None:
    """Begins an execution, which is to hear of what earlier ones have heard."""
    _told.clear()
    _registry.clear()


def patch_api(api: Any) -> None:
    """`warn_external`, by which all of matplotlib warns, looks for a frame that is not matplotlib's."""

    def warn_external(message: Any, category: Any = None) -> None:
        text = str(message)
        glyph = _GLYPH.match(text)
        if glyph and glyph[2].count(",") >= _FEW:
            message = text = f"{text[: glyph.start(2)]}of this sandbox."
        frame, by_runner = _find_frame()
        path, line = (frame.f_code.co_filename, frame.f_lineno) if frame else _guess_place(text)
        key = (text, category) if glyph or not frame else (text, category, path, line)
        if (by_runner or glyph) and key in _told:
            return
        module = str(frame.f_globals.get("__name__")) if frame else "__main__"
        warnings.warn_explicit(message, category or UserWarning, path, line, module, _registry)
        _told.add(key)

    api.warn_external = warn_external


def patch_logger(module: Any) -> None:
    """Silences repeats of a module that logs what it warns of at each text that it measures or draws."""
    if _tell_once not in module._log.filters:
        module._log.addFilter(_tell_once)


def _tell_once(record: logging.LogRecord) -> bool:
    if record.levelno < logging.WARNING:
        return True
    text = record.getMessage()
    if text in _told:
        return False
    _told.add(text)
    frame, _ = _find_frame()
    path, line = (frame.f_code.co_filename, frame.f_lineno) if frame else _guess_place(text)
    record.msg, record.args = "%s:%d: %s", (path, line, text)
    return True


def _find_frame() -> tuple[FrameType | None, bool]:
    """The nearest frame of the code, if there is one; whether the runner draws for it."""
    frame: FrameType | None = sys._getframe(2)
    by_runner = False
    while frame:
        path = frame.f_code.co_filename
        # At the bottom is what has started the interpreter.
        if frame.f_back and not path.startswith(_LIBRARIES) and not _PACKAGES.search(path):
            return frame, by_runner
        by_runner = by_runner or path.startswith(_RUNNER)
        frame = frame.f_back
    return None, True


def _guess_place(text: str) -> tuple[str, int]:
    """The place of what the warning is about, or of the last line: for a figure that is drawn after the code has ended."""
    path = _path_of_code()
    lines = linecache.getlines(path)
    glyph, named = re.match(r"Glyph (\d+) ", text), _NAMED.search(text)
    about = chr(int(glyph[1])) if glyph else (named[2] or named[1]).split(", ")[0] if named else ""
    places = [number for number, line in enumerate(lines, 1) if about and about in line]
    written = [number for number, line in enumerate(lines, 1) if line.strip()]
    return path, (places or written[-1:] or [1])[0]


def _path_of_code() -> str:
    try:
        shell = formats.shell()
        return str(shell.compile._blank[0] if shell else sys.modules["__main__"].__file__)
    except AttributeError:
        return "main.py"
