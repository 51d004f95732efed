"""Runs code whose results go to a pipe, in a process of its own, as the program would run it."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import Any

RUNNER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "runner")
_PROGRAM = """
import os, sys
{before}
sys.path.insert(0, {runner!r})
from _glovebox.display import displays, library_patches
from _glovebox.own_modules import hide_own
hide_own()
sys.path.insert(0, os.getcwd())
displays.open({descriptor}, {limit}, {total})
library_patches.install()
try:
    exec(compile(sys.stdin.read(), "main.py", "exec"), {{"__name__": "__main__", "results": displays}})
finally:
    displays.finish()
"""


@dataclass
class Displayed:
    """What came of some code: its results, the bytes of each as a line, and its output."""

    results: list[dict[str, Any]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    stdout: str = ""
    stderr: str = ""
    code: int = 0

    def of(self, name: str) -> list[Any]:
        """That format of each result."""
        return [result.get(name) for result in self.results]

    @property
    def only(self) -> dict[str, Any]:
        assert len(self.results) == 1, (self.results, self.stderr)
        return self.results[0]


def run(code: str, *, before: str = "", limit: int = 1_000_000, total: int = 4_000_000) -> Displayed:
    """Runs the code; `before` is what its process has loaded already, as one that was forked for it has."""
    reading, writing = os.pipe()
    lines: list[bytes] = []

    def read() -> None:
        with open(reading, "rb") as pipe:
            lines.extend(pipe)

    reader = threading.Thread(target=read)
    reader.start()
    program = _PROGRAM.format(before=before, runner=RUNNER, descriptor=writing, limit=limit, total=total)
    try:
        process = subprocess.run(
            [sys.executable, "-c", program],
            input=code,
            capture_output=True,
            text=True,
            timeout=60,
            pass_fds=[writing],
            env={**os.environ, "MPLBACKEND": "Agg", "MPLCONFIGDIR": "/tmp/matplotlib"},
        )
    finally:
        os.close(writing)
        reader.join(10)
    results = [json.loads(line) for line in lines]
    sizes = [len(line) for line in lines]
    return Displayed(results, sizes, process.stdout, process.stderr, process.returncode)
