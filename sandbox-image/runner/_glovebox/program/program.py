"""The process that runs one execution's code, as `python script.py` would."""

import _thread
import builtins
import os
import signal
import sys
import types
from typing import Any, NamedTuple, NoReturn

from _glovebox import linux
from _glovebox.display import displays, import_hooks, library_patches
from _glovebox.files import files, workspace
from _glovebox.own_modules import hide_own, import_own
from _glovebox.packages import list_packages
from _glovebox.paths import USER_SITE, WORKSPACE
from _glovebox.process import multiprocessing_patches, reseeding, session_packages, thread_stacks
from _glovebox.process.begin_run import OWN_DESCRIPTORS, begin_run
from _glovebox.process.environment import environment
from _glovebox.process.exit import end_process, exit_code
from _glovebox.process.hidden_frames import hide_frame
from _glovebox.process.imported_modules import ImportedModules
from _glovebox.process.reporting import show_error, tell, tell_imported
from _glovebox.process.streams import ensure_standard_streams
from _glovebox.program.script import run_script
from _glovebox.program.script_file import write_script
from _glovebox.wire.request_pipe import read_request


class Pipes(NamedTuple):
    """The program's ends of its pipes."""

    request: int
    stdout: int
    stderr: int
    display: int


class Program:
    """A process that waits for a request and runs it; for a context, for the next one too.

    Returned up the stack of the runner that it was forked from, so that the code runs near its bottom.
    """

    def __init__(self, request: int, display: int, report: int, post_mortem: int) -> None:
        self._request = request
        self._display = display
        self._report = report
        self._post_mortem = post_mortem

    @classmethod
    def prepare_parent(cls) -> None:
        """Does once, in the process that programs are forked from, what all of them need."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        thread_stacks.prepare(_own_descriptors()[_POST_MORTEM])
        os.environ.clear()
        os.environ.update(environment())
        ensure_standard_streams()
        _become_main()
        session_packages.add_folder()

    @classmethod
    def prepare(cls, pipes: Pipes, report: int, post_mortem: int) -> "Program":
        """Turns a fork of such a process into one of its own, as far as that goes without a request."""
        os.setsid()
        own = (report, pipes.request, pipes.display, post_mortem)
        kept = [os.dup2(old, new, inheritable=False) for old, new in zip(own, _own_descriptors())]
        null = os.open("/dev/null", os.O_RDONLY)
        for target, source in enumerate((null, pipes.stdout, pipes.stderr)):
            os.dup2(source, target)
        os.closerange(3, kept[-1])
        _enter_workspace()
        reseeding.reseed()
        return cls(request=kept[1], display=kept[2], report=kept[0], post_mortem=kept[3])

    @classmethod
    @hide_frame
    def go_on(cls, request: dict[str, Any], told: dict[str, Any], display: int, report: int, post_mortem: int) -> int:
        """Runs the code in an interpreter that has taken the place of a forked process; the exit code."""
        thread_stacks.prepare(post_mortem)
        tell(report, {"start": {**told, "main_thread": _thread.get_ident()}})
        given = [os.path.abspath(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
        path = list(sys.path)
        _become_main()
        if not sys.flags.no_user_site and USER_SITE not in path:
            session_packages.put_first()
        rest = [entry for entry in sys.path[1:] if entry not in given]
        sys.path[:] = [*([] if sys.flags.safe_path else [WORKSPACE]), *given, *rest]
        return cls(-1, display, report, post_mortem)._run(request, told["script"])

    @hide_frame
    def run(self) -> NoReturn:
        """Waits for the request, runs it, and ends the process as the interpreter would end it."""
        request = read_request(self._request)
        context = None
        if request and "prepare" in request:
            before = linux.anonymous_memory()
            context = import_own("context.context_process").prepare(self._report, before)
            request = read_request(self._request)
        if request is None:
            # Never needed: the runner is gone, or its supervisor.
            os._exit(0)
        # Not before the request is here: whatever runs beside could read or change what is to run next.
        linux.set_dumpable(True)
        linux.prefer_for_oom_kill()
        session_packages.put_first()
        if request.get("context") and request.get("kind") == "command":
            import_own("shell.shell_process").serve(request, self._request, self._report)
        if request.get("context"):
            import_own("context.context_process").serve(context, request, self._request, self._display, self._report)
            os._exit(0)
        if request.get("stdin_stream"):
            os.dup2(self._request, 0)
        os.close(self._request)
        if request.get("kind") == "command":
            import_own("program.command").start(request, self._report)
        script = write_script(request.get("code", ""))
        told = begin_run(request, self._report, script=script)
        if request.get("new_interpreter"):
            self._start_interpreter(request, told)
        end_process(self._run(request, script))

    def _start_interpreter(self, request: dict[str, Any], told: dict[str, Any]) -> NoReturn:
        try:
            descriptors = (self._display, self._report, self._post_mortem)
            import_own("program.interpreter").start(request, told, descriptors, thread_stacks.SIGNAL)
        except OSError as error:
            show_error(error, self._report)
            os._exit(1)

    @hide_frame
    def _run(self, request: dict[str, Any], script: str) -> int:
        """Runs the request's code as this script; the exit code."""
        main = sys.modules["__main__"]
        main.__file__ = script
        sys.argv = [script, *request.get("args", ())]
        sys.orig_argv = [sys.executable, *sys.argv]
        signal.signal(signal.SIGINT, signal.default_int_handler)
        linux.spare_descriptors(OWN_DESCRIPTORS)
        imported = ImportedModules()
        code = self._execute(request, script)
        tell_imported(self._report, imported)
        return code

    @hide_frame
    def _execute(self, request: dict[str, Any], script: str) -> int:
        """Runs the code, or one of the programs that come with the runner; the exit code."""
        try:
            match request.get("kind"):
                case "packages":
                    list_packages.main()
                case "install":
                    import_own("packages.installer").main(request)
                case "files":
                    files.main(request["file"])
                case "archive":
                    workspace.main(request["file"])
                case "terminal":
                    return int(import_own("program.terminal").main(request))
                case _:
                    self._run_code(request, script)
        except SystemExit as leave:
            return exit_code(leave)
        except KeyboardInterrupt as interrupt:
            # Where one of the runner's own programs was is of no use to anybody.
            if "kind" not in request:
                show_error(interrupt, self._report)
            return 130
        except BaseException as error:
            show_error(error, self._report)
            return 1
        return 0

    @hide_frame
    def _run_code(self, request: dict[str, Any], script: str) -> None:
        source: str = request.get("code", "")
        if multiprocessing_patches.needs_no_guard(source):
            known = multiprocessing_patches.share_definitions(lambda: [source], instead=True)
            import_hooks.patch_on_import(
                {"multiprocessing.context": multiprocessing_patches.prefer_fork, "multiprocessing.spawn": known}
            )
        budget = request.get("results")
        if budget is None:
            exec(compile(source, script, "exec", dont_inherit=True), sys.modules["__main__"].__dict__)
            return
        displays.open(self._display, **budget)
        library_patches.install()
        try:
            run_script(source, script, displays.show)
        finally:
            displays.finish()


_POST_MORTEM = 3
"""Where the descriptor of stacks is among a program's own."""


def _own_descriptors() -> list[int]:
    """The highest descriptors, out of the way of programs that count on low ones."""
    highest = os.sysconf("SC_OPEN_MAX") - 1
    return [highest - at for at in range(4)]


def _enter_workspace() -> None:
    """Changes to the workspace, which is this user's even if an earlier execution has locked itself out."""
    try:
        os.chdir(WORKSPACE)
    except PermissionError:
        os.chmod(WORKSPACE, 0o700)
        os.chdir(WORKSPACE)


def _become_main() -> None:
    """Makes a fresh `__main__`, and hides the runner's modules."""
    module = types.ModuleType("__main__")
    module.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = module
    if "__mp_main__" in sys.modules:
        # By this name workers send back instances of the script's classes.
        sys.modules["__mp_main__"] = module
    hide_own()
    sys.path.insert(0, WORKSPACE)
