"""The file of a script, for tracebacks, `inspect` and spawned workers."""

import os
import re
import time

_COOKIE = re.compile(r"\A((?:[ \t\f]*(?:#[^\n]*)?\n)??[ \t\f]*#[^\n]*?coding[:=][ \t]*)([-\w.]+)")


def write_script(source: str) -> str:
    """Its path; the code runs without it if /tmp is full."""
    # The code came as text, and is read back as what it is written in here, whatever it says of itself.
    text = _COOKIE.sub(r"\1utf-8", source, count=1)
    directory = f"/tmp/execution-{os.getpid()}"
    if os.path.lexists(directory):
        # An earlier program of that number has left something there.
        directory += str(time.time_ns())
    script = f"{directory}/main.py"
    try:
        os.mkdir(directory, 0o700)
        with open(script, "xb", buffering=0) as file:
            file.write(text.encode())
    except OSError:
        import linecache

        linecache.cache[script] = (len(text), None, text.splitlines(keepends=True), script)
    return script
