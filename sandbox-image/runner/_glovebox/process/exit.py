"""How a program ends once its code has."""

import atexit
import os
import sys
from typing import NoReturn


def exit_code(leave: SystemExit) -> int:
    """The exit code that `sys.exit` with such an argument gives."""
    if leave.code is None:
        return 0
    if isinstance(leave.code, int):
        return leave.code & 0xFF
    print(leave.code, file=sys.stderr)
    return 1


def end_process(code: int) -> NoReturn:
    """Ends as the interpreter does: threads, exit handlers, the script's objects, then the streams.

    The rest of its shutdown takes apart memory that is shared with the runner, page by page: three times
    the work of everything else here, for a process that is about to end.
    """
    try:
        if threading := sys.modules.get("threading"):
            threading._shutdown()
        atexit._run_exitfuncs()
        sys.modules["__main__"].__dict__.clear()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:  # noqa: BLE001 - closed, or replaced by the program with something else
                code = code or 120
        os._exit(code)
