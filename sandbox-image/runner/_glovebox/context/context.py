"""The interpreter of a context: it stays between calls, with its variables, imports and working directory."""

import sys
from typing import Any

from _glovebox.context.magics import add_session_packages
from _glovebox.context.shell import Shell
from _glovebox.context.tracebacks import write_error
from _glovebox.display import import_hooks
from _glovebox.process import multiprocessing_patches
from _glovebox.process.hidden_frames import hide_frame
from _glovebox.process.streams import open_stream


class Context:
    """Runs cells, one at a time, in `__main__`. Only one can be made in a process."""

    def __init__(self) -> None:
        self._shell: Shell = Shell.instance()
        known = multiprocessing_patches.share_definitions(lambda: self._shell.history_manager.input_hist_parsed)
        import_hooks.patch_on_import(
            {"multiprocessing.context": multiprocessing_patches.prefer_fork, "multiprocessing.spawn": known}
        )

    @hide_frame
    def run(self, source: str, name: str) -> BaseException | None:
        """Runs one cell of the context of this name; the exception that ended it, already shown.

        What stays unshown is SystemExit: its code is the caller's to tell.
        """
        shell = self._shell
        _repair_streams()
        add_session_packages()
        shell.compile.context = name
        shell.uncaught = shell.shown = None
        try:
            result = shell.run_cell(source, store_history=True)
            return result.error_before_exec or result.error_in_exec or shell.uncaught
        except BaseException as error:  # noqa: BLE001 - an interrupt between two statements of the shell's own
            write_error(f"{type(error).__name__}\n")
            return error
        finally:
            _flush()


def _repair_streams() -> None:
    """A fresh stdin; and stdout and stderr, where a cell has left something in their place that fails."""
    stdin = getattr(sys, "stdin", None)
    if stdin is getattr(sys, "__stdin__", None) or not _works(stdin):
        # What an earlier cell has not read of its own input is not this cell's.
        sys.stdin = sys.__stdin__ = open_stream("stdin")
    for name in ("stdout", "stderr"):
        original = f"__{name}__"
        if not _works(getattr(sys, original, None)):
            setattr(sys, original, open_stream(name))
        if not _works(getattr(sys, name, None)):
            setattr(sys, name, getattr(sys, original))


def _works(stream: Any) -> bool:
    try:
        if stream.closed:
            return False
        if stream.writable():
            stream.write("")
            stream.flush()
        return True
    except Exception:  # noqa: BLE001 - the stream may be the code's own
        return False


def _flush() -> None:
    for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
        try:
            getattr(sys, name).flush()
        except Exception:  # noqa: BLE001 - closed, or replaced by the code with something else
            continue
