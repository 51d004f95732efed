"""Files of a program's own in /tmp: its script, for tracebacks, `inspect` and spawned workers; a long command line."""

import os
import re
import time

_COOKIE = re.compile(r"\A((?:[ \t\f]*(?:#[^\n]*)?\n)??[ \t\f]*#[^\n]*?coding[:=][ \t]*)([-\w.]+)")


def write_script(source: str) -> str:
    """Its path; the code runs without it if /tmp is full."""
    # The code came as text, and is read back as what it is written in here, whatever it says of itself.
    text = _COOKIE.sub(r"\1utf-8", source, count=1)
    script = f"{_directory()}/main.py"
    try:
        _write(script, text.encode())
    except OSError:
        import linecache

        linecache.cache[script] = (len(text), None, text.splitlines(keepends=True), script)
    return script


def write_file(name: str, content: bytes) -> str:
    """The path of a file in the program's own folder, which goes with its execution. Raises OSError if /tmp is full."""
    path = f"{_directory()}/{name}"
    _write(path, content)
    return path


def _directory() -> str:
    directory = f"/tmp/execution-{os.getpid()}"
    # An earlier program of that number may have left something there.
    return f"{directory}{time.time_ns()}" if os.path.lexists(directory) else directory


def _write(path: str, content: bytes) -> None:
    os.mkdir(os.path.dirname(path), 0o700)
    remaining = memoryview(content)
    with open(path, "xb", buffering=0) as file:
        while remaining:
            remaining = remaining[file.write(remaining) :]
