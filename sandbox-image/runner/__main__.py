"""Run as `python3 -I /opt/glovebox/runner [door]`, or as `src/engines/docker/hardening/spec.ts` does, with the channel on stdin and stdout.

With the name of a door it outlives its control plane, and the next one comes in there. Without it ends with the first.
"""

import sys

from _glovebox import linux
from _glovebox.process import bytecode_cache, interpreter_flags
from _glovebox.wire.handover import open_door

linux.set_dumpable(False)
bytecode_cache.keep_only_settled()
interpreter_flags.hide_isolation()
# It may have the text of the command, which stacks would show.
sys.modules.pop("linecache", None)
door = open_door(sys.argv[1]) if len(sys.argv) > 1 else None

from _glovebox.runner.runner import Runner  # noqa: E402 - a process that only hands its streams over needs nothing of it

runner = Runner(door)
# Programs are forked from here: what they would hold of the runner, they could not let go of.
del door
program = runner.serve()
del runner
if program is not None:
    program.run()
