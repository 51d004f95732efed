"""IPython's shell without a terminal, without files of its own, and without a memory that grows."""

import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

from IPython.core.async_helpers import get_asyncio_loop
from IPython.core.autocall import ExitAutocall
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.profiledir import ProfileDir
from traitlets import Type, default
from traitlets.config import Config

from _glovebox.context import cell_tasks
from _glovebox.context.display_hooks import DisplayHook, DisplayPublisher, Formatter, InlineBackend
from _glovebox.context.history import Compiler, History
from _glovebox.context.magics import add_magics, print_page, run_command
from _glovebox.context.tracebacks import show
from _glovebox.display import import_hooks
from _glovebox.process.hidden_frames import hide_frame

LOOP = ("selectors", "asyncio.base_events", "asyncio.events")
"""Modules in which an event loop waits: an interrupt that meets one of them meets no code of the cell."""
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
        # Not imported for it: its 43 modules take 3.6 MiB, and most contexts never use them.
        import_hooks.patch_on_import({"asyncio": partial(cell_tasks.allow, get_asyncio_loop)})
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
        """Does nothing: the folder is not made before something is written to it."""

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
        self.set_hook("show_in_pager", print_page, 0)

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

    @hide_frame
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

    @hide_frame
    def _run_loop(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Runs a cell with `await` in it; an interrupt ends this cell's task, not only the waiting for it."""
        loop = get_asyncio_loop()
        task = loop.create_task(coroutine)

        def interrupt(number: int, frame: FrameType | None) -> None:
            if frame is not None and frame.f_globals.get("__name__") not in LOOP:
                raise KeyboardInterrupt
            self._interrupted = True
            task.cancel()
            loop.call_soon_threadsafe(lambda: None)

        before = signal.getsignal(signal.SIGINT)
        own = before is signal.default_int_handler
        if own:
            signal.signal(signal.SIGINT, interrupt)
        try:
            return loop.run_until_complete(task)
        except KeyboardInterrupt:
            self._interrupted = True
            task.cancel()
            return loop.run_until_complete(task)
        finally:
            self._interrupted = False
            if own and signal.getsignal(signal.SIGINT) is interrupt:
                signal.signal(signal.SIGINT, before)

    def showtraceback(self, exc_tuple: Any = None, *_: Any, **__: Any) -> None:
        """Shows an exception as the interpreter would: to stderr, from the cell's own frames on."""
        try:
            _, self.shown, _ = self._get_exc_info(exc_tuple)
        except ValueError:
            print("No traceback available to show.", file=sys.stderr)
            return
        if exc_tuple is None and sys.exc_info()[1]:
            # A magic that shows an exception and goes on, as `%run` does: the cell has failed all the same.
            self.uncaught = self.shown
        if not isinstance(self.shown, SystemExit):
            show(self.shown)

    def showsyntaxerror(self, *_: Any, **__: Any) -> None:
        self.showtraceback()

    showindentationerror = showsyntaxerror

    def _format_exception_for_storage(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {}

    def system(self, cmd: str) -> None:
        """Runs a command in the user's shell, with the context's own descriptors; its end is in `_exit_code`."""
        self.user_ns["_exit_code"] = code = run_command(self.var_expand(cmd, depth=1))
        if code and self.system_raise_on_error:
            from subprocess import CalledProcessError

            raise CalledProcessError(code, cmd)

    system_raw = system_piped = system
