"""The process between the runner and one execution's program: the parent of all that the program starts.

It is a subreaper, so a program's orphans become its children and none outlives the execution.
"""

import json
import os
import resource
import select
import signal
import socket
import time
from typing import Any

import frames
import linux
from paths import WORKSPACE
from program import Program, prepare_process

KILL_LIMIT_S = 0.8
"""How long leftovers may resist; the control plane steps in after one second."""
MAX_REPORT = 256 * 1024
"""Most bytes that a program may report of its uncaught exception."""
MAX_CHANGED_FILES = 200
MAX_SCANNED_ENTRIES = 20_000
_CLOCK_REALTIME_COARSE = 5
"""The clock that the kernel stamps files with."""


def supervise(
    request: dict[str, Any], control: socket.socket, stdout: int, stderr: int, settled_ns: int
) -> Program | None:
    """Runs one execution to its end, reports it on `control` and exits; returns only in the program's process.

    `settled_ns` is the newest time stamp that an earlier execution left on a file.
    """
    linux.become_subreaper()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    kills_before = linux.oom_kills()
    source: bytes = request.get("code", "").encode()
    script = _write_script(source)
    stdin = _open_stdin(request.get("stdin"))
    report_out, report_in = os.pipe()
    _wait_past(settled_ns)
    started_ns = time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)
    pid = os.fork()
    if pid == 0:
        return Program(request, script, source, prepare_process(request, stdin, stdout, stderr, report_in))
    for descriptor in (stdin, stdout, stderr, report_in):
        os.close(descriptor)
    status, error = _wait(pid, control, report_out)
    clean = linux.kill_descendants(KILL_LIMIT_S)
    files, newest_ns = _changed_files(started_ns)
    _remove_script(script)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = {
        "exit_code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        "oom_killed": linux.oom_kills() > kills_before,
        "survivors": not clean,
        "error": error,
        "files": files,
        "cpu_ms": round((usage.ru_utime + usage.ru_stime) * 1000, 3),
        "peak_memory_bytes": usage.ru_maxrss * 1024,
        "settled_ns": newest_ns,
    }
    try:
        control.sendall(json.dumps(report).encode())
        control.shutdown(socket.SHUT_WR)
    except BrokenPipeError:
        # The runner is gone, and with it everyone who would want to know.
        pass
    os._exit(0)


def _wait(pid: int, control: socket.socket, report: int) -> tuple[int, Any]:
    """Obeys the runner until the program ends; its wait status and what it reported of an exception."""
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
            return os.waitpid(pid, 0)[1], _parse_error(reported)
        if control.fileno() in ready:
            _obey(control.recv(1), pid)


def _obey(command: bytes, pid: int) -> None:
    if command == frames.INTERRUPT:
        # The whole process group, as Ctrl-C at a terminal does.
        number, target = signal.SIGINT, -pid
    else:
        # Also when the runner is gone: nobody is left to report to.
        number, target = signal.SIGKILL, pid
    try:
        os.kill(target, number)
    except ProcessLookupError:
        pass


def _parse_error(reported: bytearray) -> Any:
    """The exception that the program told of; None when it told of none, or nonsense."""
    try:
        error = json.loads(reported)
        return error if all(isinstance(error[key], str) for key in ("name", "value", "traceback")) else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _write_script(source: bytes) -> str:
    """A real file for tracebacks, `inspect` and spawned workers; the code runs without it if /tmp is full."""
    directory = f"/tmp/execution-{os.getpid()}"
    script = f"{directory}/main.py"
    try:
        os.mkdir(directory, 0o700)
        with open(script, "xb") as file:
            file.write(source)
    except OSError:
        import linecache

        text = source.decode()
        linecache.cache[script] = (len(text), None, text.splitlines(keepends=True), script)
    return script


def _remove_script(script: str) -> None:
    try:
        os.unlink(script)
        os.rmdir(os.path.dirname(script))
    except OSError:
        # The program may keep files of its own there.
        pass


def _open_stdin(text: str | None) -> int:
    if text is None:
        return os.open("/dev/null", os.O_RDONLY)
    descriptor = os.memfd_create("stdin", os.MFD_CLOEXEC)
    remaining = memoryview(text.encode())
    while remaining:
        remaining = remaining[os.write(descriptor, remaining) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _wait_past(settled_ns: int) -> None:
    """Waits for the file clock's next tick (a few ms) when an earlier execution changed files within this one."""
    while time.clock_gettime_ns(_CLOCK_REALTIME_COARSE) <= settled_ns:
        time.sleep(0.0005)


def _changed_files(since_ns: int) -> tuple[list[dict[str, Any]], int]:
    """Files of the workspace changed since then, hidden folders left out, and the newest stamp seen.

    By change time, which programs cannot set.
    """
    changed: list[dict[str, Any]] = []
    newest = 0
    directories = [WORKSPACE]
    scanned = 0
    while directories and scanned < MAX_SCANNED_ENTRIES:
        try:
            with os.scandir(directories.pop()) as entries:
                for entry in entries:
                    scanned += 1
                    if entry.is_dir(follow_symlinks=False):
                        if not entry.name.startswith("."):
                            directories.append(entry.path)
                        continue
                    stat = entry.stat(follow_symlinks=False)
                    if stat.st_ctime_ns < since_ns:
                        continue
                    newest = max(newest, stat.st_ctime_ns)
                    if entry.is_file(follow_symlinks=False) and len(changed) < MAX_CHANGED_FILES:
                        changed.append({"path": os.path.relpath(entry.path, WORKSPACE), "size": stat.st_size})
        except OSError:
            continue
    changed.sort(key=lambda file: file["path"])
    return changed, newest
