"""A terminal: a program on a PTY of its own, with its keys and its screen carried by the streams of this process."""

import fcntl
import os
import select
import signal
import struct
import termios
from collections.abc import Callable
from typing import Any

from _glovebox.paths import WORKSPACE
from _glovebox.program.command import SHELLS

INPUT = 0
RESIZE = 1
"""Kinds of frames on standard input: a byte, then 4 bytes of length and the bytes themselves, or rows and columns, 2 each."""
_KEPT = 64 * 1024
"""Bytes of input that wait here for the program. While there are as many, no more is read."""
_READ = 16 * 1024
"""Bytes of one reading. What the program prints in one go is mostly less."""
_LAST = 256 * 1024
"""Bytes that are still passed on after the end of the program: what it leaves behind may print without end."""
_MOST_SIZE = 4096
"""Rows or columns of the largest terminal."""
_NOT_FOUND = 127
_NOT_EXECUTABLE = 126


def main(request: dict[str, Any]) -> int:
    """Runs the request's program, a shell by default, until it ends; its exit code, as a shell tells it."""
    heard, told = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    # Both end a wait: the program has ended, and the terminal is to be closed.
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)
    master, pid = _start(request)
    relay = Relay(master, pid, heard)
    signal.signal(signal.SIGINT, lambda _signal, _frame: relay.hang_up())
    relay.run()
    return _exit_code(relay.status)


def _exit_code(status: int) -> int:
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _start(request: dict[str, Any]) -> tuple[int, int]:
    """The PTY's end that is kept here, and the process of the program, which has the other."""
    master, slave = os.openpty()
    _resize(slave, request.get("rows", 24), request.get("cols", 80))
    words, variables = _command(request), _environment(request)
    pid = os.fork()
    if pid:
        # The other end stays open here, too: the program's own end tells that it has ended, not that of its descriptors.
        os.set_blocking(master, False)
        return master, pid
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.login_tty(slave)
        os.chdir(request.get("cwd") or WORKSPACE)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.execvpe(words[0], words, variables)
    except OSError as error:
        name = words[0] if error.filename is None else error.filename
        os.write(2, f"{name}: {error.strerror}\r\n".encode(errors="backslashreplace"))
        os._exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE)
    except BaseException:  # noqa: BLE001 - nothing may unwind into a second program
        os._exit(_NOT_EXECUTABLE)


def _command(request: dict[str, Any]) -> list[str]:
    command = request.get("command")
    if not command:
        return [_shell(), "-i"]
    return [_shell(), "-c", command] if isinstance(command, str) else list(command)


def _environment(request: dict[str, Any]) -> dict[str, str]:
    # The history of a shell would be one more file among those of the session.
    own = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "SHELL": _shell(), "HISTFILE": ""}
    return {**os.environ, **own, **request.get("env", {})}


def _shell() -> str:
    return next((path for path in SHELLS if os.access(path, os.X_OK)), SHELLS[-1])


def _resize(descriptor: int, rows: Any, columns: Any) -> None:
    """Sets the size, of which the kernel tells the program in the foreground. Leaves out what no terminal has."""
    if all(isinstance(size, int) and 0 < size <= _MOST_SIZE for size in (rows, columns)):
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class FrameReader:
    """Takes standard input apart into what is typed and changes of the size."""

    def __init__(self, on_input: Callable[[bytes], None], on_resize: Callable[[int, int], None]) -> None:
        self._on_input = on_input
        self._on_resize = on_resize
        self._header = b""
        self._left = 0
        """Bytes of an input that are still to come."""

    def feed(self, data: bytes) -> None:
        while data:
            if self._left:
                piece, data = data[: self._left], data[self._left :]
                self._left -= len(piece)
                self._on_input(piece)
                continue
            # Both kinds are of the same length: of the byte that says which, and four more.
            missing = 5 - len(self._header)
            self._header, data = self._header + data[:missing], data[missing:]
            if len(self._header) == 5:
                self._begin(*struct.unpack(">B4s", self._header))
                self._header = b""

    def _begin(self, kind: int, body: bytes) -> None:
        if kind == INPUT:
            (self._left,) = struct.unpack(">I", body)
        elif kind == RESIZE:
            self._on_resize(*struct.unpack(">HH", body))


class Relay:
    """Carries bytes both ways, neither waiting for the other: Ctrl-C arrives while nobody reads what is printed."""

    def __init__(self, master: int, pid: int, heard: int) -> None:
        self._master = master
        self._pid = pid
        self._heard = heard
        self._typed = bytearray()
        """Input that the terminal has not taken yet."""
        self._printed = b""
        """Output that the runner has not taken yet."""
        self._reader = FrameReader(self._typed.extend, lambda rows, columns: _resize(master, rows, columns))
        self._takes_input = True
        self.status = 0
        """Wait status of the program, once it has ended."""

    def run(self) -> None:
        os.set_blocking(0, False)
        os.set_blocking(1, False)
        poll = select.poll()
        poll.register(self._heard, select.POLLIN)
        while not self._has_ended():
            self._watch(poll, 0, select.POLLIN if self._takes_input and len(self._typed) < _KEPT else 0)
            self._watch(poll, 1, select.POLLOUT if self._printed else 0)
            self._watch(poll, self._master, self._wanted_of_terminal())
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._heard in ready:
                _drain(self._heard)
            if 0 in ready:
                self._read_input()
            if self._typed:
                self._type()
            if self._master in ready and not self._printed:
                self._read_printed()
            if self._printed:
                self._print()
        self._print_rest()

    def hang_up(self) -> None:
        """Ends the terminal as closing its window does. What ignores that is killed later."""
        for number in (signal.SIGHUP, signal.SIGCONT):
            for target in self._groups():
                try:
                    os.killpg(target, number)
                except OSError:
                    pass

    def _groups(self) -> set[int]:
        try:
            return {self._pid, os.tcgetpgrp(self._master)} - {0}
        except OSError:
            return {self._pid}

    def _wanted_of_terminal(self) -> int:
        return (0 if self._printed else select.POLLIN) | (select.POLLOUT if self._typed else 0)

    @staticmethod
    def _watch(poll: select.poll, descriptor: int, events: int) -> None:
        # One that is registered for nothing would still be told of its end, without end.
        if events:
            poll.register(descriptor, events)
        else:
            try:
                poll.unregister(descriptor)
            except KeyError:
                pass

    def _has_ended(self) -> bool:
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if pid:
            self.status = status
        return pid != 0

    def _read_input(self) -> None:
        data = _read(0)
        if data:
            self._reader.feed(data)
        elif data == b"":
            # No control plane sends any more. The terminal goes on until it is told to end.
            self._takes_input = False

    def _read_printed(self) -> bool:
        self._printed = _read(self._master) or b""
        return bool(self._printed)

    def _type(self) -> None:
        try:
            del self._typed[: os.write(self._master, self._typed)]
        except BlockingIOError:
            pass
        except OSError:
            self._typed.clear()

    def _print(self) -> None:
        try:
            self._printed = self._printed[os.write(1, self._printed) :]
        except BlockingIOError:
            pass
        except OSError:
            # Nobody reads any more: the runner is gone, and so is this soon.
            self._printed = b""

    def _print_rest(self) -> None:
        """Passes on what was printed before the end and has not been read yet."""
        os.set_blocking(1, True)
        left = _LAST
        while self._printed or (left > 0 and self._read_printed()):
            left -= len(self._printed)
            while self._printed:
                self._print()


def _read(descriptor: int) -> bytes | None:
    """What is there; None if that is nothing now, empty at the end."""
    try:
        return os.read(descriptor, _READ)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def _drain(descriptor: int) -> None:
    while _read(descriptor):
        pass
