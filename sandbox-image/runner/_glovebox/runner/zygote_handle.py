"""The runner's end of a zygote: a process that has, or will have, modules loaded."""

import json
import os
import re
import signal
import socket
import time
from typing import Any

from _glovebox import linux

MAX_MESSAGE = 128 * 1024
MOST_GROWTH = 16 * 1024 * 1024
"""Bytes by which one that only waits may grow."""


class ZygoteHandle:
    def __init__(self, control: socket.socket, names: list[str], generation: int) -> None:
        control.setblocking(False)
        self.control = control
        self.generation = generation
        self.names = names
        """What it was asked to import."""
        self.began: str | None = None
        """The module that it imports, or imported last."""
        self.started = time.monotonic()
        self.bytes = 0
        """Those of its own memory when it had loaded all."""
        self.hurried = False
        """Whether it was told to end its imports early."""
        self._pid = 0
        """Its process; 0 until it has told."""
        tops = "|".join(sorted({re.escape(name.partition(".")[0]) for name in names}))
        self._import_of_these = re.compile(rf"\b(?:import|from)\s[^\n]*\b(?:{tops})\b")

    def is_imported_by(self, code: str) -> bool:
        """Whether the code looks as if it imported a module that this one was asked for."""
        return self._import_of_these.search(code) is not None

    def order(self, order: dict[str, Any], descriptors: list[int]) -> None:
        """Sends an order. Raises OSError when the zygote is gone, or reads no more."""
        socket.send_fds(self.control, [json.dumps(order).encode()], descriptors)

    def hear(self) -> dict[str, Any] | None:
        """Its next message; None when there is none that makes sense, which is its end."""
        try:
            message = json.loads(self.control.recv(MAX_MESSAGE))
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(message, dict):
            return None
        if isinstance(message.get("pid"), int):
            self._pid = message["pid"]
        if isinstance(message.get("began"), str):
            self.began = message["began"]
        return message

    def has_grown(self) -> bool:
        """Whether it takes much more memory than when it had loaded all: something goes on in it."""
        return self._pid > 1 and linux.anonymous_memory(self._pid) > self.bytes + MOST_GROWTH

    def wake(self) -> None:
        """Continues it, as something of the session may have stopped it."""
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        self._signal(signal.SIGKILL)
        self.control.close()

    def _signal(self, number: int) -> None:
        if self._pid > 1:
            try:
                os.kill(self._pid, number)
            except ProcessLookupError:
                pass
