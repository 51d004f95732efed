"""The process that runs one execution's code, as `python script.py` would."""

import atexit
import builtins
import os
import signal
import sys
import types
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import frames
import installed
import linux
from paths import RUNNER_DIRECTORY, WORKSPACE

MAX_TRACEBACK = 64 * 1024
"""Most characters of a traceback that are reported; its end says most."""


class Program(NamedTuple):
    """What a forked process is to run. Returned up the stack, so that the code runs near its bottom."""

    request: dict[str, Any]
    script: str
    """Path of the file that holds the code."""
    source: bytes
    report: int
    """Descriptor that takes one JSON object about an uncaught exception."""

    def run(self) -> None:
        """Runs the code and ends the process as the interpreter would end it."""
        _become_main(self.script)
        _end_process(self._execute())

    def _execute(self) -> int:
        """Runs the code; the exit code."""
        try:
            if self.request.get("kind") == "packages":
                installed.main()
            else:
                _forget_runner()
                exec(compile(self.source, self.script, "exec", dont_inherit=True), sys.modules["__main__"].__dict__)
        except SystemExit as leave:
            return _exit_code(leave)
        except BaseException as error:
            _report(error, self.report)
            return 130 if isinstance(error, KeyboardInterrupt) else 1
        return 0


def prepare_process(request: dict[str, Any], stdin: int, stdout: int, stderr: int, report: int) -> int:
    """Turns a fork of the runner into a process of its own; the report's descriptor in it."""
    os.setsid()
    # The highest descriptor, out of the way of programs that count on low ones.
    kept = os.sysconf("SC_OPEN_MAX") - 1
    os.dup2(report, kept, inheritable=False)
    for target, source in enumerate((stdin, stdout, stderr)):
        os.dup2(source, target)
    os.closerange(3, kept)
    linux.set_dumpable(True)
    linux.prefer_for_oom_kill()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(_environment(), **request.get("env", {}))
    os.chdir(WORKSPACE)
    _open_standard_streams()
    return kept


def _environment() -> dict[str, str]:
    uid = os.getuid()
    return {
        **INHERITED,
        "HOME": WORKSPACE,
        "USER": f"u{uid}",
        "LOGNAME": f"u{uid}",
        "PWD": WORKSPACE,
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


def _become_main(script: str) -> None:
    """A fresh `__main__` that belongs to the script, and the search path it would have."""
    module = types.ModuleType("__main__")
    module.__file__ = script
    module.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = module
    sys.argv = [script]
    sys.orig_argv = [sys.executable, script]
    sys.path[:] = [WORKSPACE, *(path for path in sys.path if path != RUNNER_DIRECTORY)]
    _add_session_packages()


def _add_session_packages() -> None:
    """Puts the session's own packages before the image's, so that a newer one wins."""
    import site

    base = os.path.join(WORKSPACE, ".local")
    packages = f"{base}/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    site.ENABLE_USER_SITE, site.USER_BASE, site.USER_SITE = True, base, packages
    if not os.path.isdir(packages):
        return
    before = list(sys.path)
    site.addsitedir(packages)
    added = [path for path in sys.path if path not in before]
    sys.path[:] = [before[0], *added, *before[1:]]


def _forget_runner() -> None:
    """Lets the code import modules of the same names as the runner's."""
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(RUNNER_DIRECTORY + os.sep):
            del sys.modules[name]


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


def _report(error: BaseException, report: int) -> None:
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
            pipe.write(frames.json.dumps(body).encode())
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
