"""What is done otherwise under gVisor, whose kernel has its own gaps. See docs/decisions/gvisor.md.

A process that keeps orphans, a subreaper, may not be below one that was started from outside: when both end at once,
gVisor ends the whole sandbox. So orphans go to the first process there, and a mark tells whose they are: a limit that
nothing enforces, that children inherit, and that no process can raise.
"""

import array
import os
import re
import resource
import socket
import struct

PRESENT = os.path.exists("/proc/sentry-meminfo")
"""Whether this is gVisor: Linux has no such file."""

_FIRST = 1
"""The process that orphans go to."""
_MARK = resource.RLIMIT_NPROC
_, _MOST = resource.getrlimit(_MARK)
_MARKS = 1 << 40 if _MOST == resource.RLIM_INFINITY else _MOST
"""A mark is as much less than this as the number of the process that set it says."""
_MAPPED = 4
"""Times the memory of the sandbox that a process may map, used or not: threads and libraries reserve much."""
_SIZES = ("MemTotal", "MemAvailable")
_CREDENTIALS = struct.Struct("=iII")
"""Pid, uid and gid of the process that sent a message."""


def memory() -> tuple[int, int] | None:
    """Bytes that the sandbox may use, and those that it uses: the limit is shown as the memory of the machine."""
    with open("/proc/meminfo", "rb", buffering=0) as file:
        text = file.read(16_384)
    sizes = [re.search(rf"^{name}:\s*(\d+) kB$".encode(), text, re.MULTILINE) for name in _SIZES]
    total, available = (int(size[1]) * 1024 if size else 0 for size in sizes)
    return (total, total - available) if total else None


def mark_children() -> None:
    """Marks this process, and so all that it starts."""
    resource.setrlimit(_MARK, (_MARKS - os.getpid(),) * 2)


def bound_address_space() -> None:
    """Has this process, and all that it starts, be refused more memory than there could ever be.

    The limit of private memory that sandboxes have counts nothing here, and memory that is not there ends the sandbox.
    """
    if sizes := memory():
        resource.setrlimit(resource.RLIMIT_AS, (sizes[0] * _MAPPED,) * 2)


def orphans() -> list[int]:
    """Live orphans that this process has marked, and those whose mark names no other that lives; with all below them."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _fields(int(name))) and fields[0] != b"Z":
            parents[int(name)] = int(fields[1])
    found = [pid for pid, parent in parents.items() if parent == _FIRST and not _is_of_another(pid)]
    for pid in found:
        found.extend(child for child, parent in parents.items() if parent == pid)
    return found


def _is_of_another(pid: int) -> bool:
    """Whether a process belongs to another user, to the runner, which has no mark, or to a process that still lives."""
    mark = _mark_of(pid)
    if mark is None or mark == _MOST:
        return True
    owner = _MARKS - mark
    return owner != os.getpid() and owner > 0 and _mark_of(owner) == mark


def _fields(pid: int) -> list[bytes]:
    """State and parent of a process, and what comes after them; empty when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return file.read(1024).rpartition(b")")[2].split()
    except OSError:
        return []


def _mark_of(pid: int) -> int | None:
    """The mark of a process of this user; None for those of others, and where there is none."""
    try:
        return resource.prlimit(pid, _MARK)[1]
    except (OSError, OverflowError, ValueError):
        return None


def introduce(connection: socket.socket) -> None:
    """Has what comes over a connection say who sent it, and sends a byte that says so of this process.

    The kernel vouches for it; of the other end of a connection, older releases say that it is whoever asks.
    """
    ask_for_senders(connection)
    connection.send(b"\0")


def ask_for_senders(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)


def receive(connection: socket.socket, most: int, size: int = 1) -> tuple[int, list[int], bytes]:
    """Receives a message of that size: the process that sent it, and at most so many descriptors. 0 if it does not say who
    sent it."""
    sender, descriptors = 0, array.array("i")
    space = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(most * descriptors.itemsize)
    message, ancillary, _, _ = connection.recvmsg(size, space)
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS and len(data) == _CREDENTIALS.size:
            sender = _CREDENTIALS.unpack(data)[0]
        elif level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    return sender, list(descriptors), message
