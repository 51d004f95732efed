"""An interpreter that starts anew, in the process of a program that was forked: for variables that are read at a start.

It does in `interpreter_main.py` what the forked process would have done. Its code sees what it made of its environment.
"""

import json
import os
import signal
import sys
from typing import Any, NoReturn

from _glovebox.paths import RUNNER_DIRECTORY
from _glovebox.process.environment import FOR_CHILDREN

_LIBRARY = os.path.dirname(os.__file__)
_PATH = [RUNNER_DIRECTORY, _LIBRARY, f"{_LIBRARY}/lib-dynload"]
"""Folders in which the new one finds what it needs first, before modules of the session by the same names."""
_MAIN = "_glovebox.program.interpreter_main"


def start(request: dict[str, Any], told: dict[str, Any], descriptors: tuple[int, ...], post_mortem_signal: int) -> NoReturn:
    """`told` is what the supervisor heard of the start. Raises OSError where the variables are too long to start with."""
    order = os.memfd_create("order", 0)
    with open(order, "wb", closefd=False) as file:
        file.write(json.dumps([request, told]).encode())
    os.lseek(order, 0, os.SEEK_SET)
    given = request.get("env", {})
    variables = {name: value for name, value in os.environ.items() if name not in FOR_CHILDREN or name in given}
    for descriptor in descriptors:
        os.set_inheritable(descriptor, True)
    # Until the interpreter has its own handler: by default it would end the process.
    signal.signal(post_mortem_signal, signal.SIG_IGN)
    begin = f"import sys; sys.path[:0] = {_PATH!r}; from {_MAIN} import go_on; go_on({len(_PATH)})"
    numbers = [str(descriptor) for descriptor in (order, *descriptors)]
    os.execve(sys.executable, [sys.executable, "-c", begin, *numbers], variables)
