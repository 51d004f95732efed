"""An interpreter that starts anew, in the process of a program that was forked: for variables that are read at a start.

`start` is called in the forked process and puts a new interpreter in its place, whose `go_on` does what the forked
process would have done. Its code sees what the interpreter made of its environment.
"""

import json
import os
import signal
import sys
from typing import Any, NoReturn

from _glovebox.paths import RUNNER_DIRECTORY
from _glovebox.process.hidden_frames import unseen

FOR_CHILDREN = ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")
"""Variables of every program that are meant for the interpreters which the code starts."""
_LIBRARY = os.path.dirname(os.__file__)
_PATH = [RUNNER_DIRECTORY, _LIBRARY, f"{_LIBRARY}/lib-dynload"]
"""Where the new one finds what it needs first: modules of the session by the same names are not for that."""


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
    begin = f"import sys; sys.path[:0] = {_PATH!r}; from {__name__} import go_on; go_on()"
    numbers = [str(descriptor) for descriptor in (order, *descriptors)]
    os.execve(sys.executable, [sys.executable, "-c", begin, *numbers], variables)


@unseen
def go_on() -> NoReturn:
    """In the new interpreter."""
    from _glovebox.process import bytecode_cache
    from _glovebox.program.program import Program, environment

    # It may have the text of the command, which stacks would show.
    sys.modules.pop("linecache", None)
    # The rest is the interpreter's own; an empty entry is the folder of a script that is an argument.
    sys.path[:] = [entry for entry in sys.path[len(_PATH) :] if entry]
    bytecode_cache.keep_only_settled()
    order, *descriptors = map(int, sys.argv[1:])
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    with open(order, "rb") as file:
        request, told = json.load(file)
    for name in FOR_CHILDREN:
        os.environ.setdefault(name, environment()[name])
    if "PYTHONUNBUFFERED" not in request.get("env", {}):
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(line_buffering=True)
    sys.exit(Program.go_on(request, told, *descriptors))
