"""The process that runs one execution's code, as `python script.py` would."""

import atexit
import builtins
import json
import os
import signal
import sys
import types
from collections.abc import Callable
from typing import Any, NoReturn

import changes
import installed
import linux
from paths import RUNNER_DIRECTORY, USER_BASE, USER_SITE, WORKSPACE

MAX_TRACEBACK = 64 * 1024
"""Most characters of a traceback that are reported; its end says most."""


class Program:
    """A process that waits for a request and runs it.

    Returned up the stack of the runner that it was forked from, so that the code runs near its bottom.
    """

    def __init__(self, request: int, report: int) -> None:
        self._request = request
        self._report = report

    @classmethod
    def prepare(cls, request: int, stdout: int, stderr: int, report: int) -> "Program":
        """Turns a fork of the runner into a process of its own, as far as that goes without a request."""
        os.setsid()
        # The highest descriptors, out of the way of programs that count on low ones.
        kept_report = os.dup2(report, os.sysconf("SC_OPEN_MAX") - 1, inheritable=False)
        kept_request = os.dup2(request, kept_report - 1, inheritable=False)
        null = os.open("/dev/null", os.O_RDONLY)
        for target, source in enumerate((null, stdout, stderr)):
            os.dup2(source, target)
        os.closerange(3, kept_request)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.environ.clear()
        os.environ.update(_environment())
        os.chdir(WORKSPACE)
        _open_standard_streams()
        _become_main()
        _warm_up()
        return cls(kept_request, kept_report)

    def run(self) -> NoReturn:
        """Waits for the request, runs it, and ends the process as the interpreter would end it."""
        with open(self._request, "rb") as pipe:
            data = pipe.read()
        if not data:
            # Never needed: the runner is gone, or its supervisor.
            os._exit(0)
        # Not before the request is here: whatever runs beside could read or change what is to run next.
        linux.set_dumpable(True)
        linux.prefer_for_oom_kill()
        request = json.loads(data)
        source: bytes = request.get("code", "").encode()
        script = _write_script(source)
        os.environ.update(request.get("env", {}))
        if "stdin" in request:
            _give_stdin(request["stdin"])
        start = {
            "script": script,
            "oom_kills": linux.oom_kills(),
            "started_ns": changes.start_stamp(request["settled_ns"]),
        }
        os.write(self._report, json.dumps(start).encode() + b"\n")
        main = sys.modules["__main__"]
        main.__file__ = script
        sys.argv = [script]
        sys.orig_argv = [sys.executable, script]
        _add_session_packages()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _end_process(self._execute(request, source, script))

    def _execute(self, request: dict[str, Any], source: bytes, script: str) -> int:
        """Runs the code, or one of the programs that come with the runner; the exit code."""
        try:
            if request.get("kind") == "packages":
                installed.main()
            elif request.get("kind") == "install":
                _import_installer().main(request)
            else:
                exec(compile(source, script, "exec", dont_inherit=True), sys.modules["__main__"].__dict__)
        except SystemExit as leave:
            return _exit_code(leave)
        except BaseException as error:
            _show(error, self._report)
            return 130 if isinstance(error, KeyboardInterrupt) else 1
        return 0


def _write_script(source: bytes) -> str:
    """A real file for tracebacks, `inspect` and spawned workers; the code runs without it if /tmp is full."""
    directory = f"/tmp/execution-{os.getpid()}"
    script = f"{directory}/main.py"
    try:
        os.mkdir(directory, 0o700)
        with open(script, "xb", buffering=0) as file:
            file.write(source)
    except OSError:
        import linecache

        text = source.decode()
        linecache.cache[script] = (len(text), None, text.splitlines(keepends=True), script)
    return script


def _give_stdin(text: str) -> None:
    descriptor = os.memfd_create("stdin", os.MFD_CLOEXEC)
    remaining = memoryview(text.encode())
    while remaining:
        remaining = remaining[os.write(descriptor, remaining) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.dup2(descriptor, 0)
    os.close(descriptor)


def _environment() -> dict[str, str]:
    uid = os.getuid()
    return {
        **INHERITED,
        "HOME": WORKSPACE,
        "USER": f"u{uid}",
        "LOGNAME": f"u{uid}",
        "PWD": WORKSPACE,
        "PATH": f"{USER_BASE}/bin:{INHERITED.get('PATH', os.defpath)}",
        # A Python that the code starts shows its output as it comes, like the code itself.
        "PYTHONUNBUFFERED": "1",
    }


INHERITED = {name: value for name, value in os.environ.items() if name not in ("HOME", "HOSTNAME", "PWD")}


def _open_standard_streams() -> None:
    """Text over the new descriptors 0, 1 and 2, with a terminal's buffering."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = open(
            ("stdin", "stdout", "stderr").index(name),
            mode,
            buffering=-1 if name != "stderr" else 1,
            encoding="utf-8",
            # As CPython in a UTF-8 locale: undecodable input survives, and stderr never fails to print.
            errors="backslashreplace" if name == "stderr" else "surrogateescape",
            closefd=False,
        )
        if mode == "w":
            stream.reconfigure(line_buffering=True)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _become_main() -> None:
    """A fresh `__main__`, and nothing of the runner on the search path or among the modules."""
    module = types.ModuleType("__main__")
    module.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = module
    sys.path[:] = [WORKSPACE, *(path for path in sys.path if path != RUNNER_DIRECTORY)]
    for name, loaded in list(sys.modules.items()):
        # The code may have modules of the same names.
        if (getattr(loaded, "__file__", None) or "").startswith(RUNNER_DIRECTORY + os.sep):
            del sys.modules[name]


def _warm_up() -> None:
    """Does in vain what each request needs: the memory that this process comes to own is its own by then."""
    json.loads(json.dumps({"code": "print(1)", "settled_ns": 0}))
    with open(os.devnull, "w", encoding="utf-8") as sink:
        exec(compile(b"print(1, file=sink)\n", "", "exec", dont_inherit=True), {"sink": sink})
    linux.oom_kills()
    changes.start_stamp(0)


def _add_session_packages() -> None:
    """Puts the session's own packages before the image's, so that a newer one wins."""
    import site

    site.ENABLE_USER_SITE, site.USER_BASE, site.USER_SITE = True, USER_BASE, USER_SITE
    if not os.path.isdir(USER_SITE):
        return
    before = list(sys.path)
    site.addsitedir(USER_SITE)
    added = [path for path in sys.path if path not in before]
    sys.path[:] = [before[0], *added, *before[1:]]


def _import_installer() -> types.ModuleType:
    """Imported only here: what it needs is too much for every sandbox's memory."""
    sys.path.append(RUNNER_DIRECTORY)
    import installer

    return installer


def _exit_code(leave: SystemExit) -> int:
    """The exit code that `sys.exit` with such an argument gives."""
    if leave.code is None:
        return 0
    if isinstance(leave.code, int):
        return leave.code & 0xFF
    print(leave.code, file=sys.stderr)
    return 1


def _end_process(code: int) -> NoReturn:
    """Ends as the interpreter does: threads, exit handlers, the script's objects, then the streams.

    The rest of its shutdown takes apart memory that is shared with the runner, page by page: three times
    the work of everything else here, for a process that is about to end.
    """
    try:
        if threading := sys.modules.get("threading"):
            threading._shutdown()
        atexit._run_exitfuncs()
        sys.modules["__main__"].__dict__.clear()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:  # noqa: BLE001 - closed, or replaced by the program with something else
                code = code or 120
        os._exit(code)


def _show(error: BaseException, report: int) -> None:
    """Shows an uncaught exception as the interpreter would, and reports it."""
    _drop_own_frames(error)
    hook: Callable[..., Any] = sys.excepthook
    hook(type(error), error, error.__traceback__)
    try:
        import traceback

        text = "".join(traceback.format_exception(error))
        value = _text_of(error)
        body = {"name": type(error).__name__, "value": value[:4096], "traceback": text[-MAX_TRACEBACK:]}
        with open(report, "wb", closefd=False) as pipe:
            pipe.write(json.dumps(body).encode())
    except Exception:  # noqa: BLE001 - the report is a courtesy; the code's own stderr already has the traceback
        pass


def _drop_own_frames(error: BaseException) -> None:
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(RUNNER_DIRECTORY + os.sep):
        trace = trace.tb_next
    error.__traceback__ = trace


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - __str__ is the program's own
        return "<exception str() failed>"
