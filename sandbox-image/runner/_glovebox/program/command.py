"""A command: a program, or a shell with its command line, that takes the place of a forked process."""

import errno
import os
import signal
from typing import Any, NoReturn

from _glovebox.paths import WORKSPACE
from _glovebox.process.begin_run import begin_run
from _glovebox.process.reporting import tell
from _glovebox.program.script_file import write_file

SHELLS = ("/bin/bash", "/bin/sh")
"""The first one that the image has runs a command line."""
LONGEST_ARGUMENT = 128 * 1024 - 1
"""Bytes of the longest argument that Linux passes to a program. A longer command line is run from a file."""
CANNOT_RUN = 126
NOT_FOUND = 127
"""Exit codes by which shells say why they could not run a command."""

_PYTHONS_OWN = (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ)
"""Signals that the interpreter handles or ignores; a program inherits what is ignored."""


def start(request: dict[str, Any], report: int) -> NoReturn:
    """Runs the command in place of this process, or ends it with an exit code that says why that cannot be."""
    for number in _PYTHONS_OWN:
        signal.signal(number, signal.SIG_DFL)
    command = request["command"]
    script = _script_for(command)
    search = request.get("env", {}).get("PATH", os.environ.get("PATH", ""))
    begin_run(request, report, script=script, command={"path": search})
    _enter(request.get("cwd"), report, is_given="PWD" in request.get("env", {}))
    if isinstance(command, str):
        _run_shell(command, script, report)
    _run_program([str(argument) for argument in command], report)


def _script_for(command: Any) -> str | None:
    """The file of a command line that is too long for an argument; None where that cannot be written either."""
    if isinstance(command, str) and len(command.encode()) > LONGEST_ARGUMENT:
        try:
            return write_file("command", command.encode())
        except OSError:
            pass
    return None


def _enter(folder: str | None, report: int, is_given: bool) -> None:
    if folder is None:
        return
    try:
        os.chdir(folder)
    except OSError as error:
        _give_up(f"cannot change to the folder {folder}: {error.strerror}", "WorkingDirectoryError", CANNOT_RUN, report)
    if not is_given:
        os.environ["PWD"] = os.path.normpath(os.path.join(WORKSPACE, folder))


def _run_shell(command: str, script: str | None, report: int) -> NoReturn:
    for shell in SHELLS:
        name = os.path.basename(shell)
        try:
            os.execve(shell, [name, script] if script else [name, "-c", command], os.environ)
        except FileNotFoundError:
            continue
        except OSError as error:
            _give_up(f"{shell}: {error.strerror}", "CommandNotExecutable", CANNOT_RUN, report)
    _give_up("this image has no shell", "NoShell", NOT_FOUND, report)


def _run_program(arguments: list[str], report: int) -> NoReturn:
    name = arguments[0]
    try:
        os.execvpe(name, arguments, os.environ)
    except (FileNotFoundError, NotADirectoryError):
        _give_up(f"{name}: {_why_missing(name)}", "CommandNotFound", NOT_FOUND, report)
    except OSError as error:
        why = os.strerror(errno.EISDIR) if os.path.isdir(name) else error.strerror
        _give_up(f"{name}: {why}", "CommandNotExecutable", CANNOT_RUN, report)
    except ValueError as error:
        _give_up(f"{name[:80]!r}: {error}", "CommandNotExecutable", CANNOT_RUN, report)


def _why_missing(name: str) -> str:
    if "/" not in name:
        return "command not found"
    # Then it is the interpreter of its first line that is not there.
    return "its interpreter is not there" if os.path.exists(name) else "no such file"


def _give_up(why: str, name: str, code: int, report: int) -> NoReturn:
    """Says on stderr, as a shell would, why nothing was run, and reports it."""
    line = f"glovebox: {why}\n"
    try:
        os.write(2, line.encode(errors="backslashreplace"))
        tell(report, {"error": {"name": name, "value": why[:4096], "traceback": ""}})
    finally:
        os._exit(code)
