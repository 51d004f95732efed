"""What the kernel tells of processes."""

import os
import re
from collections.abc import Iterable

from _glovebox import linux

_PEAK = re.compile(rb"^VmHWM:\s*(\d+) kB$", re.MULTILINE)
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_ms(pid: int) -> float:
    """What a process has used, with all children that it has waited for."""
    # `utime`, `stime`, `cutime`, `cstime`.
    return sum(map(int, linux.state(pid)[11:15])) * 1000 / _TICKS


def peak_bytes(pids: Iterable[int]) -> int:
    """The most memory that one of them has used so far."""
    return max(map(_peak_bytes, pids), default=0)


def forget_peak(pid: int) -> None:
    """Has the most memory of a process be that of now, where the kernel can do that."""
    try:
        with open(f"/proc/{pid}/clear_refs", "wb", buffering=0) as file:
            file.write(b"5")
    except OSError:
        pass


def group(pid: int) -> int:
    """The process group; 0 when there is no such process."""
    try:
        return os.getpgid(pid)
    except OSError:
        return 0


def _peak_bytes(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/status", "rb", buffering=0) as file:
            found = _PEAK.search(file.read(1 << 14))
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
