"""The start of an interpreter that takes the place of a forked program; see `interpreter.py`."""

import json
import os
import sys
from typing import NoReturn

from _glovebox.process import bytecode_cache
from _glovebox.process.environment import FOR_CHILDREN, environment
from _glovebox.process.hidden_frames import hide_frame
from _glovebox.program.program import Program


@hide_frame
def go_on(added: int) -> NoReturn:
    """`added` is how many entries the search path has been given in front, for this module and what it needs."""
    # It may have the text of the command, which stacks would show.
    sys.modules.pop("linecache", None)
    # The rest is the interpreter's own; an empty entry is the folder of a script that is an argument.
    sys.path[:] = [entry for entry in sys.path[added:] if entry]
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
