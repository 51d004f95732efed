"""What a program and all that it has started use."""

import os

from _glovebox import linux

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_ms(supervisor: int) -> float:
    """Processor time of what a supervisor has started, what has ended included, to the kernel's ticks of 10 ms."""
    # `cutime` and `cstime`: of children that it has waited for, and of those that these have waited for.
    ticks = sum(map(int, linux.state(supervisor)[13:15]))
    for pid in linux.descendants(supervisor, ended=True):
        # With `utime` and `stime`, its own.
        ticks += sum(map(int, linux.state(pid)[11:15]))
    return round(ticks * 1000 / _TICKS, 3)
