"""Standard input that the control plane streams to a program."""

import fcntl
import os
from collections import deque
from collections.abc import Callable

_PIPE = 1024 * 1024
"""Bytes that a pipe may hold by the kernel's default; so much can be sent before the program reads."""
_LEAST_GRANT = 256 * 1024
"""Bytes of the smallest grant: many small ones would be as many frames."""
CREDIT = _PIPE + _LEAST_GRANT
"""Bytes that may be under way; they may come before the program is there."""


class StdinStream:
    """Writes to a pipe as fast as the program reads, and lets the control plane send as much again."""

    def __init__(self, descriptor: int, grant: Callable[[int], None], watch: Callable[[int, bool], None]) -> None:
        """`grant` gets the bytes that may be sent; `watch` whether to call `flush` when the pipe takes more."""
        os.set_blocking(descriptor, False)
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE)
        except OSError:
            # More than this user's pipes may hold together: it is slower, and works as well.
            pass
        self.descriptor = descriptor
        self._grant = grant
        self._watch = watch
        self._waiting: deque[memoryview] = deque()
        """Pieces that the pipe has not taken yet; bounded by the credit given.

        One buffer that grows and shrinks would be moved and given new pages all the time.
        """
        self._taken = 0
        """Bytes that were written or thrown away, and are not granted again yet."""
        self._finishing = False

    def invite(self, *, granted: int) -> None:
        """Grants what the control plane did not take for granted."""
        if granted < CREDIT:
            self._grant(CREDIT - granted)

    def invite_anew(self) -> None:
        """Grants to another control plane what has room: what the last one did not use of its grants is void."""
        self._taken = 0
        self._grant(CREDIT - sum(map(len, self._waiting)))

    def deliver(self, data: bytes | memoryview) -> None:
        if self.descriptor < 0:
            # The program reads no more: what it is sent is gone, as into a closed pipe.
            self._grant_again(len(data))
            return
        # Kept only as far as it must be: memory for all of it costs more than the way through.
        taken = 0 if self._waiting else self._write(memoryview(data))
        if taken < len(data):
            self._waiting.append(memoryview(bytes(data[taken:])))
        self._go_on(taken)

    def finish(self) -> None:
        """No more comes after what was delivered."""
        self._finishing = True
        if self.descriptor >= 0:
            self.flush()

    def flush(self) -> None:
        taken = 0
        while self._waiting:
            piece = self._waiting.popleft()
            size = self._write(piece)
            taken += size
            if size < len(piece):
                self._waiting.appendleft(piece[size:])
                break
        self._go_on(taken)

    def _write(self, data: memoryview) -> int:
        """Writes what the pipe takes now; the number of bytes, all of them when it has no reader any more."""
        if self.descriptor < 0:
            # Closed by an earlier piece.
            return len(data)
        taken = 0
        try:
            while taken < len(data):
                taken += os.write(self.descriptor, data[taken:])
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self.close()
            return len(data)
        return taken

    def _go_on(self, taken: int) -> None:
        self._grant_again(taken)
        if self.descriptor >= 0:
            if self._finishing and not self._waiting:
                self.close()
            else:
                self._watch(self.descriptor, bool(self._waiting))

    def _grant_again(self, taken: int) -> None:
        self._taken += taken
        if self._taken >= _LEAST_GRANT:
            self._grant(self._taken)
            self._taken = 0

    def close(self) -> None:
        if self.descriptor >= 0:
            self._watch(self.descriptor, False)
            os.close(self.descriptor)
            self.descriptor = -1
