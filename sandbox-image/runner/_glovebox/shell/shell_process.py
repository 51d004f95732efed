"""The process of a shell that stays: hands it one command after the other, each with streams of its own."""

import os
import shlex
import signal
from typing import Any, NoReturn

from _glovebox.paths import WORKSPACE
from _glovebox.process.begin_run import begin_run
from _glovebox.process.reporting import tell
from _glovebox.shell.bash import SHELL, Bash, ShellEnded
from _glovebox.wire.request_pipe import read_request

NOT_FOUND = 127
MAX_LEFT = 100
"""Processes that an interrupted command may leave to a shell that lives on. More are of one that forks without end."""


def serve(request: dict[str, Any] | None, requests: int, report: int) -> NoReturn:
    """Runs that request and those that follow, until there are no more, or the shell has ended; then ends as it has."""
    try:
        shell = Bash()
    except OSError as error:
        _refuse(request or {}, report, error)
    try:
        while request is not None:
            _run(shell, request, report)
            shell.wait_for(requests)
            request = read_request(requests)
    except ShellEnded as ended:
        if shell.is_asked and shell.has_begun:
            _end_as(ended.status)
        # A command may have come at this moment, which must not look as if it had run.
        os.write(2, b"glovebox: the shell ended before it could begin this command\n")
        os._exit(NOT_FOUND)
    os._exit(0)


def _run(shell: Bash, request: dict[str, Any], report: int) -> None:
    """Runs one command. An interrupt between commands means nothing: the command that it was meant for has ended."""
    command, folder = request["command"], request.get("cwd")
    variables = request.pop("env", {})
    _give_no_input()
    shell.prepare()
    # Before the supervisor hears of the start: from then on it may interrupt.
    signal.signal(signal.SIGINT, lambda _signal, _frame: shell.interrupt())
    try:
        path = variables.get("PATH", os.environ.get("PATH", ""))
        begin_run(request, report, command={"path": path, "stays": True})
        text = command if isinstance(command, str) else shlex.join(command)
        code = shell.run(text, variables, None if folder is None else os.path.join(WORKSPACE, folder))
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if shell.interrupted and len(shell.jobs) > MAX_LEFT:
        # The supervisor then ends them all.
        os.kill(os.getpid(), signal.SIGKILL)
    used = max(0.0, round(shell.used_ms, 3))
    tell(report, {"done": {"exit_code": code, "cpu_ms": used, "peak_memory_bytes": shell.peak_bytes}})


def _refuse(request: dict[str, Any], report: int, error: OSError) -> NoReturn:
    """Says why there is no shell, and ends."""
    is_missing = isinstance(error, FileNotFoundError)
    name = "NoShell" if is_missing else "CommandNotExecutable"
    why = f"this image has no {SHELL}, without which no shell can stay" if is_missing else f"{SHELL}: {error.strerror}"
    begin_run(request, report)
    try:
        os.write(2, f"glovebox: {why}\n".encode())
        tell(report, {"error": {"name": name, "value": why, "traceback": ""}})
    finally:
        os._exit(NOT_FOUND)


def _give_no_input() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _end_as(status: int) -> NoReturn:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))
