"""The process between the runner and one execution's program: the parent of all that the program starts.

It is a subreaper, so a program's orphans become its children and none outlives the execution.
"""

import json
import os
import resource
import select
import signal
import socket
from typing import Any

import changes
import frames
import linux
from program import Program

KILL_LIMIT_S = 0.8
"""How long leftovers may resist; the control plane steps in after one second."""
MAX_REPORT = 256 * 1024
"""Most bytes that a program may report of its uncaught exception."""


def supervise(control: socket.socket, request: int, stdout: int, stderr: int) -> Program | None:
    """Forks a program, waits for its end, reports that on `control` and exits; returns only in the program's process.

    The program waits for its request, so both processes can be there before there is anything to run.
    """
    linux.become_subreaper()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    report_out, report_in = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        control.sendall(json.dumps(frames.NO_PROCESS).encode())
        os._exit(0)
    if pid == 0:
        return Program.prepare(request, stdout, stderr, report_in)
    for descriptor in (request, stdout, stderr, report_in):
        os.close(descriptor)
    # In vain, as the program warms up: the report of a program that changed nothing.
    json.dumps(_report(0, True, json.dumps({"started_ns": 2**62, "oom_kills": 0}).encode() + b"\n"))
    status, reported = _wait(pid, control, report_out)
    clean = linux.kill_descendants(KILL_LIMIT_S)
    try:
        control.sendall(json.dumps(_report(status, clean, bytes(reported))).encode())
        control.shutdown(socket.SHUT_WR)
    except BrokenPipeError:
        # The runner is gone, and with it everyone who would want to know.
        pass
    os._exit(0)


def _wait(pid: int, control: socket.socket, report: int) -> tuple[int, bytearray]:
    """Obeys the runner until the program ends; its wait status and all that it reported."""
    ended = os.pidfd_open(pid)
    poll = select.poll()
    for descriptor in (ended, control.fileno(), report):
        poll.register(descriptor, select.POLLIN)
    reported = bytearray()
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if report in ready:
            data = os.read(report, 65536)
            reported += data
            if not data or len(reported) > MAX_REPORT:
                poll.unregister(report)
                os.close(report)
        elif ended in ready:
            return os.waitpid(pid, 0)[1], reported
        if control.fileno() in ready:
            _obey(control.recv(1), pid)


def _obey(command: bytes, pid: int) -> None:
    if command == frames.INTERRUPT:
        # The whole process group, as Ctrl-C at a terminal does.
        number, target = signal.SIGINT, -pid
    elif command == frames.WAKE:
        # An earlier execution may have stopped it while it waited.
        number, target = signal.SIGCONT, pid
    else:
        # Also when the runner is gone: nobody is left to report to.
        number, target = signal.SIGKILL, pid
    try:
        os.kill(target, number)
    except ProcessLookupError:
        pass


def _report(status: int, clean: bool, reported: bytes) -> dict[str, Any]:
    """What the control plane is told of an ended program."""
    first_line, _, rest = reported.partition(b"\n")
    start = _parse(first_line) or {}
    files, settled_ns = changes.changed_files(start["started_ns"]) if start else ([], 0)
    if "script" in start:
        _remove_script(start["script"])
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "started": bool(start),
        "exit_code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        "oom_killed": bool(start) and linux.oom_kills() > start["oom_kills"],
        "survivors": not clean,
        "error": _error(_parse(rest)),
        "files": files,
        "cpu_ms": round((usage.ru_utime + usage.ru_stime) * 1000, 3),
        "peak_memory_bytes": usage.ru_maxrss * 1024,
        "settled_ns": settled_ns,
    }


def _parse(line: bytes) -> Any:
    """One JSON value of the report; None for nonsense, which a program may well write there."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _error(value: Any) -> Any:
    try:
        return value if all(isinstance(value[key], str) for key in ("name", "value", "traceback")) else None
    except (TypeError, KeyError):
        return None


def _remove_script(script: str) -> None:
    try:
        os.unlink(script)
        os.rmdir(os.path.dirname(script))
    except OSError:
        # The program may keep files of its own there.
        pass
