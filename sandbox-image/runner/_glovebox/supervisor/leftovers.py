"""Ends what a program leaves behind."""

import os
import resource
import signal
import time

from _glovebox import gvisor, linux


def gather() -> None:
    """Has what programs of this process start be found, whatever becomes of its parents."""
    if gvisor.PRESENT:
        gvisor.mark_children()
        gvisor.bound_address_space()
    else:
        linux.become_subreaper()


def end(limit_s: float, used: list[resource.struct_rusage]) -> bool:
    """Ends and reaps all that programs of this process have started; False if some outlast the limit.

    What each child of this process has used, with its own children, is added to `used`.
    """
    deadline = time.monotonic() + limit_s
    while (waits := not _reap(used)) or gvisor.PRESENT:
        pids = linux.descendants(os.getpid()) if waits else []
        if gvisor.PRESENT:
            pids += gvisor.orphans()
            if not waits and not pids:
                return True
        # Stopped first, so that none forks or is orphaned away while the others are killed.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                try:
                    os.kill(pid, number)
                except OSError:
                    pass
        if time.monotonic() > deadline:
            return _reap(used) and not (gvisor.PRESENT and gvisor.orphans())
        time.sleep(0.001)
    return True


def _reap(used: list[resource.struct_rusage]) -> bool:
    """Collects ended children; True when none is left at all."""
    try:
        while True:
            pid, _, usage = os.wait4(-1, os.WNOHANG)
            if not pid:
                return False
            used.append(usage)
    except ChildProcessError:
        return True
