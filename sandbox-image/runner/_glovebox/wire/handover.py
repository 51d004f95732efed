"""How the next control plane reaches a runner that is there: a fresh exec hands its stdin, stdout and stderr over.

Both ends are started from outside, by the engine, so both have the same parent, which no process of the session's code
has: that tells a control plane from code that connects, and a runner from code that has taken its name.
"""

import os
import socket
import struct
import sys
from typing import NoReturn

from _glovebox import gvisor

STANDARD_STREAMS = (0, 1, 2)
ANSWER_LIMIT_S = 5.0
_GVISOR_LIMIT_S = 1.0
"""Seconds for a caller to say who it is, which code of the session could be too: the runner waits for it."""
_ATTEMPTS = 50
_CREDENTIALS = struct.Struct("=iII")
"""Pid, uid and gid of the process that connected, or began to listen."""
_GENERATION = struct.Struct(">Q")
"""How often the session was claimed, as the caller's control plane knows."""


class HandoverListener:
    """The socket of a runner, with a name for its life: code can take the name only after it has ended the runner."""

    def __init__(self, listener: socket.socket, generation: int) -> None:
        listener.setblocking(False)
        self.socket = listener
        self.generation = generation
        """That of the control plane which started the runner."""

    def accept(self) -> tuple[list[int], socket.socket, int] | None:
        """Three descriptors, the connection that they came over, and the generation of the control plane that they lead to;
        None when the caller has no right to it."""
        try:
            caller, _ = self.socket.accept()
        except OSError:
            return None
        descriptors: list[int] = []
        generation = b""
        try:
            generation, descriptors = _receive(caller)
        except OSError:
            pass
        if len(descriptors) == len(STANDARD_STREAMS) and len(generation) == _GENERATION.size:
            return descriptors, caller, _GENERATION.unpack(generation)[0]
        for descriptor in descriptors:
            os.close(descriptor)
        caller.close()
        return None


def listen_or_hand_over(name: str, generation: int) -> HandoverListener:
    """Listens by that name, in a process that becomes the runner. Never returns where a runner has the name already."""
    address = f"\0{name}"
    for _ in range(_ATTEMPTS):
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(address)
            listener.listen(4)
            return HandoverListener(listener, generation)
        except OSError:
            listener.close()
        call = socket.socket(socket.AF_UNIX)
        call.settimeout(ANSWER_LIMIT_S)
        if gvisor.PRESENT:
            gvisor.ask_for_senders(call)
        try:
            call.connect(address)
        except OSError:
            # Its owner has just ended, or does not listen yet.
            call.close()
            continue
        _hand_over(call, generation)
    sys.exit("neither listening nor handing over succeeded")


def _receive(caller: socket.socket) -> tuple[bytes, list[int]]:
    """What a caller says that has the right to hand its descriptors over, and these; nothing of another."""
    if gvisor.PRESENT:
        caller.settimeout(_GVISOR_LIMIT_S)
        gvisor.introduce(caller)
        sender, descriptors, message = gvisor.receive(caller, len(STANDARD_STREAMS), _GENERATION.size)
        if _has_our_parent(sender):
            return message, descriptors
        for descriptor in descriptors:
            os.close(descriptor)
    elif _has_our_parent(_peer(caller)):
        caller.settimeout(ANSWER_LIMIT_S)
        return socket.recv_fds(caller, _GENERATION.size, len(STANDARD_STREAMS))[:2]
    return b"", []


def _hand_over(call: socket.socket, generation: int) -> NoReturn:
    """Hands the standard streams to the runner, and stays until that closes the connection: the exec lasts so long."""
    try:
        runner = gvisor.receive(call, 0)[0] if gvisor.PRESENT else _peer(call)
    except OSError:
        runner = 0
    if not _has_our_parent(runner):
        sys.exit("something of the session has taken the runner's name")
    call.settimeout(None)
    socket.send_fds(call, [_GENERATION.pack(generation)], STANDARD_STREAMS)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(call.fileno(), 0)
    os.dup2(null, 1)
    os.dup2(null, 2)
    # It reads until the connection ends, in a tenth of an interpreter's memory.
    os.execv("/bin/cat", ["cat"])


def _peer(connection: socket.socket) -> int:
    """The process at the other end."""
    pid, _, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(pid)


def _has_our_parent(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return int(file.read(1024).rpartition(b")")[2].split()[1]) == os.getppid()
    except OSError:
        return False
