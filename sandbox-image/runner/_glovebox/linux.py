"""What the standard library does not offer of Linux: process attributes, the process tree, memory kills."""

import ctypes
import os
import re
import resource

from _glovebox import gvisor

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)

_oom_counters = ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"]
"""Files in which cgroup v2 and v1 keep the line `oom_kill N`; one that is not there is not looked for again."""
_OOM_KILLS = re.compile(rb"^oom_kill (\d+)$", re.MULTILINE)
_V1 = "/sys/fs/cgroup/memory/memory"
_V2 = "/sys/fs/cgroup/memory"
_MEMORY = (
    (f"{_V2}.max", f"{_V2}.current", f"{_V2}.stat", "inactive_file"),
    (f"{_V1}.limit_in_bytes", f"{_V1}.usage_in_bytes", f"{_V1}.stat", "total_inactive_file"),
)
"""The files of the limit, of the use and of its parts, and the part that can be dropped at any time; v2 and v1."""
_OWN_MEMORY = re.compile(rb"^RssAnon:\s*(\d+) kB$", re.MULTILINE)
_RESIDENT_MEMORY = re.compile(rb"^VmRSS:\s*(\d+) kB$", re.MULTILINE)
_NO_LIMIT = 1 << 60
"""v1 says a number of about this size where there is no limit."""


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
    descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    try:
        os.write(descriptor, b"1000")
    finally:
        os.close(descriptor)


def spare_descriptors(number: int) -> None:
    """Lets this process and its children open that many fewer descriptors than they could; 0 lifts it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(0, most - number), most))


def return_free_memory() -> None:
    """Gives the kernel what the C library holds of freed memory, in whole pages; see malloc_trim(3)."""
    _libc.malloc_trim(0)


def oom_kills() -> int:
    """How many processes of this container its memory limit has ended."""
    for path in list(_oom_counters):
        try:
            text = _read(path)
        except FileNotFoundError:
            # Of the other version of control groups.
            _oom_counters.remove(path)
            continue
        except OSError:
            continue
        if found := _OOM_KILLS.search(text):
            return int(found[1])
    return 0


def memory() -> tuple[int, int] | None:
    """Bytes that this container may use, and those that it uses without what can be dropped; None without a limit."""
    for limit, use, statistics, droppable in _MEMORY:
        try:
            most, used, parts = int(_read(limit)), int(_read(use)), _read(statistics)
        except (OSError, ValueError):
            # Of the other version of control groups; v2 says `max` where there is no limit.
            continue
        found = re.search(rf"^{droppable} (\d+)$".encode(), parts, re.MULTILINE)
        return (most, used - int(found[1] if found else 0)) if most < _NO_LIMIT else None
    return gvisor.memory() if gvisor.PRESENT else None


def anonymous_memory(pid: int | str = "self") -> int:
    """Bytes of a process's own memory, that of files left out where the kernel does; 0 where it cannot be known."""
    try:
        status = _read(f"/proc/{pid}/status")
    except OSError:
        return 0
    found = _OWN_MEMORY.search(status) or _RESIDENT_MEMORY.search(status)
    return int(found[1]) * 1024 if found else 0


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, 16_384)
    finally:
        os.close(descriptor)


def descendants(root: int, ended: bool = False) -> list[int]:
    """Every live process below `root`, parents before children; also those ended and not waited for, if wanted."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit() or not (fields := state(int(name))):
            continue
        if ended or fields[0] != b"Z":
            children.setdefault(int(fields[1]), []).append(int(name))
    found = list(children.get(root, ()))
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def state(pid: int) -> list[bytes]:
    """The fields of a process from its state on, the third in proc(5); empty when there is no such process."""
    try:
        # The command, in parentheses, may itself hold spaces and parentheses.
        return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    except OSError:
        return []


def faults_of_ended(pid: int) -> int:
    """Page faults of the children that a process has waited for: it rises with each of them."""
    fields = state(pid)
    # `cminflt`, the eleventh.
    return int(fields[8]) if fields else 0


def has_ended_processes(pid: int, since: int) -> bool:
    """Returns whether a descendant of `pid` may have ended since `faults_of_ended` gave `since`."""
    if faults_of_ended(pid) > since:
        return True
    # Its orphans are the caller's.
    below = (other for other in descendants(os.getpid(), ended=True) if other != pid)
    return any(state(other)[:1] in ([b"Z"], []) or faults_of_ended(other) > 0 for other in below)
