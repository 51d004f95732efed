"""How a supervisor hears of the end of its program: by a descriptor, beside others."""

import os
import signal


class ChildEnds:
    """By a descriptor of the process itself, or by signals where the kernel has no such descriptors, as gVisor's."""

    def __init__(self) -> None:
        self._heard = self._told = -1
        """The pipe that the interpreter writes to when a child has ended."""
        try:
            os.close(os.pidfd_open(os.getpid()))
        except OSError:
            self._heard, self._told = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)
            signal.set_wakeup_fd(self._told, warn_on_full_buffer=False)

    def watch(self, pid: int) -> int:
        """A descriptor that becomes readable when the child has ended, and perhaps before."""
        return os.pidfd_open(pid) if self._heard < 0 else self._heard

    def unwatch(self, descriptor: int) -> None:
        if self._heard < 0:
            os.close(descriptor)

    def has_ended(self, pid: int) -> bool:
        """Whether the child whose descriptor is readable has ended. It can still be waited for."""
        if self._heard < 0:
            return True
        try:
            os.read(self._heard, 1 << 12)
        except BlockingIOError:
            # Nothing new: what was there has been read for the child before.
            pass
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def forget(self) -> None:
        """Undoes in a forked child what its own children would be heard by."""
        if self._heard >= 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(self._heard)
            os.close(self._told)
