"""What the standard library does not offer of Linux: process attributes, the process tree, memory kills."""

import ctypes
import os
import resource
import signal
import time

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)

_OOM_COUNTERS = (
    "/sys/fs/cgroup/memory.events",
    "/sys/fs/cgroup/memory/memory.oom_control",
)
"""Where cgroup v2 and v1 keep the line `oom_kill N`."""


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def set_dumpable(dumpable: bool) -> None:
    """Whether processes of the same user may read this one's memory and open its descriptors."""
    _prctl(_PR_SET_DUMPABLE, int(dumpable))


def become_subreaper() -> None:
    """Makes orphans among the descendants this process's children."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def prefer_for_oom_kill() -> None:
    """Makes this process and its children the first that a full memory limit ends."""
    with open("/proc/self/oom_score_adj", "wb", buffering=0) as file:
        file.write(b"1000")


def spare_descriptors(number: int) -> None:
    """Lets this process and its children open that many fewer descriptors than they could; 0 lifts it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(0, most - number), most))


def oom_kills() -> int:
    """How many processes of this container its memory limit has ended."""
    for path in _OOM_COUNTERS:
        try:
            with open(path, "rb", buffering=0) as file:
                for line in file.read(4096).splitlines():
                    if line.startswith(b"oom_kill "):
                        return int(line.split()[1])
        except OSError:
            continue
    return 0


def descendants(root: int) -> list[int]:
    """Every live process below `root`, parents before children."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb", buffering=0) as file:
                # The command, in parentheses, may itself hold spaces and parentheses.
                fields = file.read(1024).rpartition(b")")[2].split()
        except OSError:
            continue
        if fields[0] != b"Z":
            children.setdefault(int(fields[1]), []).append(int(name))
    found = list(children.get(root, ()))
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def kill_descendants(limit_s: float) -> bool:
    """Ends and reaps all that descends from this process, a subreaper; False if some outlast the limit."""
    deadline = time.monotonic() + limit_s
    while not _reap():
        pids = descendants(os.getpid())
        # Stopped first, so that none forks or is orphaned away while the others are killed.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                try:
                    os.kill(pid, number)
                except OSError:
                    pass
        if time.monotonic() > deadline:
            return _reap()
        time.sleep(0.001)
    return True


def _reap() -> bool:
    """Collects ended children; True when none is left at all."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False
