"""Where a program was when its time ran out: the Python stack of each of its threads.

The interpreter writes them from a signal handler in C, so they come also from code that never returns to Python.
"""

import faulthandler
import os
import re
import signal
import time
from typing import Any

from _glovebox.paths import RUNNER_DIRECTORY
from _glovebox.process.hidden_frames import HIDDEN_FILE

SIGNAL = signal.SIGRTMAX - 1
"""A signal that programs have no use for."""
MAX_THREADS = 20
MAX_FRAMES = 50
_WAIT_S = 0.02
_MAX_BYTES = 256 * 1024
_THREAD = re.compile(r"^(?:Current thread|Thread) (0x[0-9a-f]+)(?: \[(.*)\])? \(most recent call first\):$")
_FRAME = re.compile(r'^  File "(.*)", line (\d+) in (.*)$')


def create() -> int:
    """A file in memory that a supervisor and its program share."""
    return os.memfd_create("stacks", os.MFD_CLOEXEC)


def prepare(descriptor: int) -> None:
    """Has a program write its stacks to the descriptor at the signal, and to stderr when it crashes."""
    faulthandler.enable(file=2, all_threads=False)
    faulthandler.register(SIGNAL, file=descriptor, all_threads=True, chain=False)


def take(descriptor: int, pid: int) -> None:
    """Asks a program for its stacks, in its supervisor, and waits a moment for them."""
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        os.kill(pid, SIGNAL)
    except ProcessLookupError:
        return
    deadline = time.monotonic() + _WAIT_S
    while os.fstat(descriptor).st_size == 0 and time.monotonic() < deadline:
        time.sleep(0.001)


def read(descriptor: int, main_thread: Any) -> list[dict[str, Any]]:
    """`{thread, frames}` of each thread, the main one first; frames as in a traceback, the innermost last.

    `main_thread` is that thread's ident. The text is the program's: nonsense in it is left out.
    """
    text = os.pread(descriptor, _MAX_BYTES, 0).decode(errors="replace")
    threads: list[dict[str, Any]] = []
    for line in text.splitlines():
        if thread := _THREAD.match(line):
            is_main = isinstance(main_thread, int) and int(thread[1], 16) == main_thread
            threads.append({"thread": "MainThread" if is_main else thread[2] or thread[1], "frames": []})
        elif threads and (frame := _FRAME.match(line)):
            threads[-1]["frames"].append(f'File "{frame[1]}", line {frame[2]}, in {frame[3]}'[:500])
    for described in threads:
        described["frames"] = _code_frames(described["frames"])[:MAX_FRAMES][::-1]
    threads.sort(key=lambda thread: thread["thread"] != "MainThread")
    return threads[:MAX_THREADS]


_CALLERS = (f'File "{HIDDEN_FILE}"', f'File "{RUNNER_DIRECTORY}{os.sep}', "/IPython/core/interactiveshell.py")


def _code_frames(frames: list[str]) -> list[str]:
    """Returns the frames of the code alone, without those of the runner and the shell; the innermost first."""
    for at, frame in enumerate(frames):
        if any(caller in frame for caller in _CALLERS):
            return frames[:at]
    return frames
