"""Starts the runner: `python3 -I /opt/glovebox/runner [NAME [GENERATION]]`, with the channel on stdin and stdout.

With a name it outlives its control plane, and the next one reaches it by that name. Without one it ends with the first.
The generation says how often the session was claimed by a control plane; 0 where there can be one only.
See `src/engines/docker/hardening/spec.ts` for how a control plane starts it.
"""

import sys

from _glovebox import linux
from _glovebox.process import bytecode_cache, interpreter_flags
from _glovebox.wire.handover import listen_or_hand_over

linux.set_dumpable(False)
bytecode_cache.keep_only_settled()
interpreter_flags.hide_isolation()
# It may have the text of the command, which stacks would show.
sys.modules.pop("linecache", None)
generation = int(sys.argv[2]) if len(sys.argv) > 2 else 0
listener = listen_or_hand_over(sys.argv[1], generation) if len(sys.argv) > 1 else None

from _glovebox.runner.runner import Runner  # noqa: E402 - a process that only hands its streams over needs nothing of it

runner = Runner(listener)
# Programs are forked from here: what they would hold of the runner, they could not let go of.
del listener
program = runner.serve()
del runner
if program is not None:
    program.run()
