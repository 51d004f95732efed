"""Run as `python3 -I /opt/glovebox/runner`, with the channel on stdin and stdout."""

from runner import Runner

program = Runner().serve()
if program is not None:
    program.run()
