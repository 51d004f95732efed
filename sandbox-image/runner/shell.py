"""IPython's shell without a terminal, without files of its own, and without a memory that grows."""

import linecache
import os
import signal
import sys
import traceback
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from IPython.core.autocall import ExitAutocall
from IPython.core.async_helpers import get_asyncio_loop
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.profiledir import ProfileDir
from traitlets import Type, default
from traitlets.config import Config

from cells import CELL, Compiler, History
from publishing import DisplayHook, DisplayPublisher, Formatter, InlineBackend
from magics import add_magics

MAX_TRACEBACK = 64 * 1024
"""Most characters of a traceback that are shown; its end says most."""
OWN = ("IPython.", "shell", "context")
"""Modules whose frames are of no interest to those who wrote the cell."""
INTERRUPT_GRACE_S = 0.2
"""For a command to end by itself when its cell is interrupted: less than what the cell itself is given."""

CONFIG = Config(
    InteractiveShell={
        "autocall": 0,
        "cache_size": 16,
        "colors": "nocolor",
        "enable_tip": False,
        "history_length": 0,
        "show_rewritten_input": False,
        "xmode": "Plain",
    },
    HistoryManager={"enabled": False, "hist_file": ":memory:"},
    IPCompleter={"use_jedi": False},
)


class Exit(ExitAutocall):
    """`exit` and `quit`: they end the cell, not the context."""

    def __call__(self, code: Any = None) -> None:
        raise SystemExit(code)


class Shell(InteractiveShell):
    """Runs cells in `__main__`; `uncaught` is the exception that the last one was ended by."""

    compiler_class = Type(Compiler)
    displayhook_class = Type(DisplayHook)
    display_pub_class = Type(DisplayPublisher)
    uncaught: BaseException | None = None
    shown: BaseException | None = None

    def __init__(self) -> None:
        self._interrupted = False
        # Bookmarks and the like: for this context, not for a home directory.
        self._db: dict[str, Any] = {}
        super().__init__(config=CONFIG, user_module=sys.modules["__main__"])
        self.loop_runner = self._run_loop
        self.configurables.append(InlineBackend(parent=self))
        add_magics(self)

    @default("profile_dir")
    def _make_profile_dir(self) -> ProfileDir:
        """Only for a magic that asks for it: most sessions never touch a file of IPython's."""
        os.makedirs(self.ipython_dir, exist_ok=True)
        return ProfileDir.create_profile_dir_by_name(self.ipython_dir, "default")

    @default("exiter")
    def _make_exiter(self) -> Exit:
        return Exit(self)

    def init_ipython_dir(self, ipython_dir: str | None) -> None:
        # Never in the workspace; the variable is for what asks IPython's modules instead of the shell.
        self.ipython_dir = os.environ.setdefault("IPYTHONDIR", f"/tmp/ipython-{os.getpid()}")

    def _ipython_dir_changed(self, change: Any) -> None:
        """Not made before something is written to it."""

    def init_profile_dir(self, profile_dir: ProfileDir | None) -> None:
        pass

    def init_virtualenv(self) -> None:
        pass

    def init_prompts(self) -> None:
        """No `sys.ps1`: what is run here is not typed at a terminal."""

    def init_history(self) -> None:
        self.history_manager = History(shell=self, parent=self)
        self.configurables.append(self.history_manager)

    def init_display_formatter(self) -> None:
        self.display_formatter = Formatter(parent=self)
        self.configurables.append(self.display_formatter)

    def init_builtins(self) -> None:
        super().init_builtins()
        # IPython takes them away from the modules that a cell imports.
        self.builtin_trap.auto_builtins.update(exit=self.exiter, quit=self.exiter)

    def init_user_ns(self) -> None:
        super().init_user_ns()
        # IPython's `open` refuses descriptors 0 to 2.
        del self.user_ns["open"], self.user_ns_hidden["open"]

    def init_hooks(self) -> None:
        super().init_hooks()
        self.set_hook("show_in_pager", _print_page, 0)

    def init_completer(self) -> None:
        """Nobody completes here; made when something asks for it all the same."""

    def __getattr__(self, name: str) -> Any:
        if name != "Completer":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        super().init_completer()
        return self.__dict__["Completer"]

    @contextmanager
    def _tee(self, channel: str) -> Iterator[None]:
        """IPython would keep all output in memory."""
        yield

    async def run_code(self, code_obj: Any, result: Any = None, *, async_: bool = False) -> bool:
        """Runs one statement of a cell; whether it raised."""
        try:
            if async_:
                await eval(code_obj, self.user_global_ns, self.user_ns)
            else:
                exec(code_obj, self.user_global_ns, self.user_ns)
        except BaseException as raised:  # noqa: BLE001 - whatever ends a cell must leave the context alive
            error = raised
            if self._interrupted and type(raised).__name__ == "CancelledError":
                error = KeyboardInterrupt().with_traceback(raised.__traceback__)
            if result is not None:
                result.error_in_exec = error
            self.showtraceback((type(error), error, error.__traceback__))
            self.uncaught = error
            return True
        return False

    def _run_loop(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Runs a cell with `await` in it; an interrupt ends this cell's task, not only the waiting for it."""
        loop = get_asyncio_loop()
        task = loop.create_task(coroutine)
        self._interrupted = False

        def interrupt(number: int, frame: FrameType | None) -> None:
            if frame is not None and frame.f_globals.get("__name__") != "selectors":
                raise KeyboardInterrupt
            self._interrupted = True
            task.cancel()
            loop.call_soon_threadsafe(lambda: None)

        before = signal.signal(signal.SIGINT, interrupt)
        try:
            return loop.run_until_complete(task)
        except KeyboardInterrupt:
            self._interrupted = True
            task.cancel()
            return loop.run_until_complete(task)
        finally:
            signal.signal(signal.SIGINT, before)

    def showtraceback(self, exc_tuple: Any = None, *_: Any, **__: Any) -> None:
        """Shows an exception as the interpreter would: to stderr, from the cell's own frames on."""
        _, error, _ = self._get_exc_info(exc_tuple)
        self.shown = error
        if exc_tuple is None:
            # A magic that shows an exception and goes on, as `%time` does: the cell has failed all the same.
            self.uncaught = error
        if isinstance(error, SystemExit):
            return
        _trim(error)
        sys.last_traceback = error.__traceback__
        write_error(f"UsageError: {error}\n" if isinstance(error, UsageError) else _format(error))

    def showsyntaxerror(self, *_: Any, **__: Any) -> None:
        self.showtraceback()

    showindentationerror = showsyntaxerror

    def _format_exception_for_storage(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {}

    def system(self, cmd: str) -> None:
        """Runs a command in the user's shell, with the context's own descriptors; its end is in `_exit_code`."""
        import subprocess

        command = self.var_expand(cmd, depth=1)
        # What a cell has put in the place of stdout, as `%%capture` does, has no descriptor to give.
        captured = sys.stdout is not sys.__stdout__
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        child = subprocess.Popen(
            command,
            shell=True,
            executable=os.environ.get("SHELL") or None,
            process_group=0,
            **({"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if captured else {}),
        )
        try:
            for line in child.stdout or ():
                sys.stdout.write(line.decode(errors="replace"))
            code = child.wait()
        except BaseException:
            _end_group(child)
            raise
        self.user_ns["_exit_code"] = code if code <= 128 else 128 - code
        if code and self.system_raise_on_error:
            raise subprocess.CalledProcessError(code, cmd)

    system_raw = system_piped = system


def write_error(text: str) -> None:
    """Writes to stderr, or to what it was before the code replaced it by something that fails."""
    try:
        sys.stdout.flush()
    except Exception:  # noqa: BLE001 - closed, or replaced
        pass
    for name in ("stderr", "__stderr__"):
        try:
            stream = getattr(sys, name)
            stream.write(text)
            stream.flush()
            return
        except Exception:  # noqa: BLE001 - closed, or replaced
            continue


def _trim(error: BaseException) -> None:
    """Leaves out, here and in what led to it, the frames before the cell and those of IPython's magics."""
    remaining: list[BaseException | None] = [error]
    seen = set()
    while remaining:
        each = remaining.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        remaining += [each.__context__, each.__cause__]
        each.__traceback__ = _own_part(each)
        if isinstance(each, SyntaxError) and each.text is None and each.filename and each.lineno:
            each.text = linecache.getline(each.filename, each.lineno) or None


def _own_part(error: BaseException) -> TracebackType | None:
    whole = list(_each(error.__traceback__))
    # What does not compile has no frame of its own, only those of the compiler's callers.
    none = len(whole) if isinstance(error, SyntaxError) else 0
    start = next((at for at, each in enumerate(whole) if CELL.match(each.tb_frame.f_code.co_filename)), none)
    part: TracebackType | None = None
    for each in reversed(whole[start:]):
        if not each.tb_frame.f_globals.get("__name__", "").startswith(OWN):
            part = TracebackType(part, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return part


def _each(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _format(error: BaseException) -> str:
    try:
        text = "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - the exception's class is the code's own
        text = f"{type(error).__name__}\n"
    left_out = len(text) - MAX_TRACEBACK
    return text if left_out <= 0 else f"… {left_out} characters left out …\n{text[-MAX_TRACEBACK:]}"


def _print_page(shell: Shell, data: Any, start: int = 0, screen_lines: int = 0) -> None:
    text = data.get("text/plain", "") if isinstance(data, dict) else data
    print("\n".join(text.split("\n")[start:]))


def _end_group(child: Any) -> None:
    import subprocess

    for number in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
            child.wait(INTERRUPT_GRACE_S)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
