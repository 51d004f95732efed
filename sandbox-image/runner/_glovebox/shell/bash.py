"""Bash that stays: it runs one command after the other, and keeps its directory, variables, functions and jobs.

It is interactive, so that an interrupt ends the command under way and not the shell. What it reads are lines of this
module, in which a command is one quoted word: one with an open quote or here-document ends like any other.
"""

import os
import re
import secrets
import select
import signal
import time

from _glovebox import linux
from _glovebox.shell import processes

SHELL = "/bin/bash"
_ARGUMENTS = ("bash", "--noediting", "--norc", "-i")
_SETTINGS = r"\builtin set +o history +H; \builtin history -c; \builtin unset HISTFILE; \builtin shopt -u checkwinsize; PS1= PS2="
"""Nothing is kept in files of the session, and nobody sees prompts."""
_REPAIR = r"GLOVEBOX_STATUS=$?; \unset -f builtin command enable; \enable builtin cd command eval printf times unset"
"""Code may have functions by these names, or have disabled builtins. The variable is gone when the code runs again."""
_AGAIN_S = 0.1
"""Seconds after which an interrupt is tried again: one that comes while bash starts a program may be lost on it."""
_LOOKS_S = (0.005, 0.01, 0.02, 0.04, 0.08, 0.1, 0.2)
"""Seconds between looks at the memory of what runs; the last one again and again."""
_READ = 1 << 12
_TIMES = re.compile(rb"(\d+)m(\d+)[.,](\d{3})s")
"""A time as the builtin `times` says it."""
_LONGEST_TIMES = 100


class ShellEnded(Exception):
    """The shell has ended: by `exit`, `exec`, `set -e`, or a signal."""

    def __init__(self, status: int) -> None:
        self.status = status
        """As the kernel gives it to who waits."""


class Bash:
    def __init__(self) -> None:
        """Raises OSError where there is no bash, or no process for it."""
        self._child_ended, told = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        self._answers, self._told = os.pipe()
        os.set_blocking(self._answers, False)
        self._unread = b""
        lines, self._lines = os.pipe()
        os.set_blocking(self._lines, False)
        self._terminal, screen = _terminal()
        null = os.open(os.devnull, os.O_RDWR)
        try:
            self._pid = os.posix_spawn(
                SHELL,
                _ARGUMENTS,
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, source, to) for to, source in enumerate((lines, null, screen))],
                # A group of its own, so that an interrupt reaches it only while it runs a command.
                setpgroup=0,
                setsigmask=(),
                setsigdef=(signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD),
            )
        finally:
            for descriptor in (lines, null, screen):
                os.close(descriptor)
        self._is_running = False
        self.is_asked = self.has_begun = False
        """Whether there is a command to run, and whether that has begun."""
        self.interrupted = 0.0
        """The monotonic time, in seconds, at which the command under way was interrupted; 0 if it was not."""
        self.peak_bytes = 0
        """The most memory that one process of the command under way was seen to use, the shell included."""
        self._ticks_ms = 0.0
        """What had been used before the command, to the kernel's ticks."""
        self._recent_ms: list[int] = []
        """The last that the shell has told of its own time, and of its children's."""
        self._used_ms: dict[bytes, int | None] = {}
        """What had been used at the begin and at the end of the command under way, as far as the shell has told it."""
        self._send(_SETTINGS)

    def prepare(self) -> None:
        """Forgets the last command. From here on an interrupt is for the next."""
        self.is_asked = self.has_begun = False
        self.interrupted = 0.0
        self.peak_bytes = 0
        processes.forget_peak(self._pid)
        self._ticks_ms = processes.cpu_ms(self._pid)
        self._used_ms = {}

    def run(self, command: str, variables: dict[str, str], folder: str | None) -> int:
        """Runs a command with the standard streams of this process; its exit code. Raises ShellEnded."""
        self.is_asked = True
        key = secrets.token_hex(8)
        # Opened anew by these names: code may have closed or replaced any descriptor of the shell.
        ours = f"/proc/{os.getpid()}/fd"
        streams = f"<{ours}/0 >{ours}/1 2>{ours}/2"
        tell = rf"\builtin printf '%s %s %s\n' {key}"
        told = f">{ours}/{self._told}"
        enter = rf"\builtin cd -- {quote(folder)} {streams} && " if folder is not None else ""
        given = "".join(f"{name}={quote(value)} " for name, value in variables.items())
        end = f'{_REPAIR}; \\builtin times {told}; {tell} end "$GLOVEBOX_STATUS" {told}; \\builtin unset GLOVEBOX_STATUS'
        # Each line is read as a whole before it runs, and an interrupt ends the one that runs.
        self._send(
            rf"{_REPAIR}; \builtin unset GLOVEBOX_STATUS",
            rf"\builtin times {told}; {tell} begin 0 {told}; {enter}{given}\command eval {quote(command)} {streams}",
            end,
        )
        try:
            return self._wait_for_end(key.encode(), end)
        finally:
            self._is_running = False

    def interrupt(self) -> None:
        """Interrupts the command under way: for the handler of a signal."""
        self.interrupted = time.monotonic()
        if self._is_running:
            self._forward()

    @property
    def used_ms(self) -> float:
        """What the last command has used, with all that the shell has waited for meanwhile."""
        begin, end = self._used_ms.get(b"begin"), self._used_ms.get(b"end")
        if begin is None or end is None:
            return processes.cpu_ms(self._pid) - self._ticks_ms
        return end - begin

    @property
    def jobs(self) -> list[int]:
        """What it has started and still runs."""
        return linux.descendants(self._pid)

    def wait_for(self, descriptor: int, limit_s: float | None = None) -> bool:
        """Whether the descriptor is readable in time. Raises ShellEnded if the shell ends before."""
        poll = select.poll()
        for other in (descriptor, self._child_ended, self._terminal):
            if other >= 0:
                poll.register(other, select.POLLIN)
        while ready := {other for other, _ in poll.poll(None if limit_s is None else limit_s * 1000)}:
            if descriptor in ready:
                return True
            if self._terminal in ready:
                self._drop_own_words()
                if self._terminal < 0:
                    return self.wait_for(descriptor, limit_s)
            if self._child_ended in ready:
                os.read(self._child_ended, _READ)
                pid, status = os.waitpid(self._pid, os.WNOHANG)
                if pid:
                    raise ShellEnded(status)
        return False

    def _drop_own_words(self) -> None:
        """Reads what the shell itself says: prompts, and that it has no job control."""
        try:
            os.read(self._terminal, 1 << 16)
        except OSError:
            # Code has closed the other end.
            os.close(self._terminal)
            self._terminal = -1

    def _wait_for_end(self, key: bytes, end: str) -> int:
        looks = iter(_LOOKS_S)
        tries = 0
        while True:
            if self.wait_for(self._answers, _AGAIN_S if self.interrupted else next(looks, _LOOKS_S[-1])):
                for said, what, code, used_ms in self._read_answers():
                    if said == key:
                        self._used_ms[what] = used_ms
                    if said == key and what == b"begin":
                        self._is_running = self.has_begun = True
                        if self.interrupted:
                            self._forward()
                    elif said == key and code.isdigit():
                        self.is_asked = False
                        self._look((self._pid,))
                        return int(code)
            else:
                self._look((self._pid, *self.jobs))
            if self.interrupted and time.monotonic() > self.interrupted + _AGAIN_S * (tries + 1):
                tries += 1
                if tries % 2:
                    # It may have cost the line that tells of the end.
                    self._send(end)
                elif self._is_running:
                    self._forward()

    def _look(self, pids: tuple[int, ...]) -> None:
        self.peak_bytes = max(self.peak_bytes, processes.peak_bytes(pids))

    def _read_answers(self) -> list[tuple[bytes, bytes, bytes, int | None]]:
        """With the time that was told before each. Code may have written them."""
        *lines, self._unread = (self._unread + os.read(self._answers, _READ)).split(b"\n")
        self._unread = self._unread[:_READ]
        answers = []
        for line in lines:
            if len(words := line.split()) == 3:
                used = sum(self._recent_ms) if len(self._recent_ms) == 2 else None
                answers.append((words[0], words[1], words[2], used))
                self._recent_ms = []
            elif len(times := _TIMES.findall(line[:_LONGEST_TIMES])) == 2:
                told_ms = sum(int(minutes) * 60_000 + int(seconds) * 1000 + int(rest) for minutes, seconds, rest in times)
                self._recent_ms = [*self._recent_ms, told_ms][-2:]
        return answers

    def _forward(self) -> None:
        """As Ctrl-C at a terminal, and to what has left the shell's group. What runs in the background ignores it."""
        outside = [pid for pid in self.jobs if processes.group(pid) != self._pid]
        for pid in (-self._pid, *outside):
            try:
                os.kill(pid, signal.SIGINT)
            except OSError:
                # It has ended.
                pass

    def _send(self, *lines: str) -> None:
        remaining = memoryview("".join(f"{line}\n" for line in lines).encode())
        poll = select.poll()
        poll.register(self._lines, select.POLLOUT)
        while remaining:
            try:
                remaining = remaining[os.write(self._lines, remaining) :]
            except BlockingIOError:
                # It may wait for what it says itself to be read, too.
                self.wait_for(-1, 0.001)
                poll.poll(50)
            except BrokenPipeError:
                self.wait_for(-1)


def quote(text: str) -> str:
    """The text as one word of a shell."""
    return "'" + text.replace("'", r"'\''") + "'"


def _terminal() -> tuple[int, int]:
    """Both ends of a terminal that nobody sits at: bash sets the modes of one when a signal has ended a job."""
    try:
        return os.openpty()
    except OSError:
        return -1, os.open(os.devnull, os.O_RDWR)
