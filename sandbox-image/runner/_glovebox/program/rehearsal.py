"""What each program does of the runner's code, done beforehand in the process that programs are forked from.

The interpreter adapts byte code to what it meets, and fills caches with it: in memory that a program would have to copy
first, each for itself.
"""

import os
import sys

from _glovebox.display import displays
from _glovebox.own_modules import is_of_image
from _glovebox.process.begin_run import begin_run
from _glovebox.process.imported_modules import ImportedModules
from _glovebox.process.reporting import tell_imported
from _glovebox.program.script import run_script
from _glovebox.program.script_file import write_script
from _glovebox.wire.request_pipe import read_request, write_request

_TIMES = 4
"""After so many the interpreter has adapted what it runs."""
_REQUEST = {"code": "print(1)", "results": {"limit": 1 << 20, "total": 1 << 22}, "settled_ns": 0}


def rehearse() -> None:
    """Goes through a request that prints a line; none of it is seen, and nothing of the session is run."""
    path = sys.path[:]
    # What is imported late, such as linecache where /tmp is full, must not be a module of the session.
    sys.path[:] = [entry for entry in path if is_of_image(str(entry))]
    null = os.open(os.devnull, os.O_RDWR)
    try:
        for _ in range(_TIMES):
            _go_through(null)
    finally:
        os.close(null)
        sys.path[:] = path


def _go_through(null: int) -> None:
    request_out, request_in = os.pipe()
    try:
        write_request(request_in, _REQUEST)
        request = read_request(request_out)
    finally:
        os.close(request_out)
        os.close(request_in)
    assert request is not None
    script = write_script(request["code"])
    begin_run(request, null, script=script)
    imported = ImportedModules()
    displays.open(null, **request["results"])
    run_script(request["code"], script, displays.show)
    displays.finish()
    tell_imported(null, imported)
    sys.stdout.flush()
    try:
        os.unlink(script)
        os.rmdir(os.path.dirname(script))
    except OSError:
        # There was no room for it in /tmp.
        pass
