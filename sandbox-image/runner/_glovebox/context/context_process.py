"""The process of a context: runs one cell after the other in an interpreter that stays. Imported only there."""

import os
import resource
import signal
import sys
from typing import Any

from _glovebox import linux
from _glovebox.context.cell_environment import CellEnvironment
from _glovebox.context.context import Context
from _glovebox.display import displays, library_patches
from _glovebox.process.begin_run import OWN_DESCRIPTORS, begin_run
from _glovebox.process.exit import exit_code
from _glovebox.process.hidden_frames import hide_frame
from _glovebox.process.imported_modules import ImportedModules
from _glovebox.process.reporting import report_error, tell, tell_imported
from _glovebox.wire.request_pipe import read_request


def prepare(report: int, before: int) -> Context:
    """Makes the interpreter before there is a request, and tells how many bytes that takes beyond those of before."""
    context = _make()
    tell(report, {"prepared": max(0, linux.anonymous_memory() - before)})
    return context


def _make() -> Context:
    library_patches.install()
    # As at a prompt: there is no script.
    sys.argv = [""]
    sys.orig_argv = [sys.executable]
    return Context()


@hide_frame
def serve(context: Context | None, request: dict[str, Any] | None, requests: int, display: int, report: int) -> None:
    """Runs that request and those that follow, until there are no more."""
    context = context or _make()
    imported = ImportedModules()
    while request is not None:
        before = _cpu_ms()
        variables = CellEnvironment(request.get("env", {}))
        _give_no_input()
        displays.open(display, **request["results"])
        error = _run(context, request, report, variables)
        linux.spare_descriptors(0)
        displays.finish()
        variables.end()
        if error is not None and not isinstance(error, SystemExit):
            report_error(error, report)
        tell_imported(report, imported)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        done = {
            "exit_code": _code_of(error),
            "cpu_ms": round(_cpu_ms() - before, 3),
            "peak_memory_bytes": usage.ru_maxrss * 1024,
        }
        tell(report, {"done": done})
        request = read_request(requests)


@hide_frame
def _run(context: Context, request: dict[str, Any], report: int, variables: CellEnvironment) -> BaseException | None:
    """Runs one cell. An interrupt between cells means nothing: the cell that it was meant for has ended."""
    try:
        try:
            # Before the supervisor hears of the start: from then on it may interrupt.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            begin_run(request, report)
            linux.spare_descriptors(OWN_DESCRIPTORS)
            variables.begin()
            return context.run(request["code"], request["context"])
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt as interrupt:
        return interrupt


def _code_of(error: BaseException | None) -> int:
    if error is None:
        return 0
    if isinstance(error, SystemExit):
        return exit_code(error)
    return 130 if isinstance(error, KeyboardInterrupt) else 1


def _give_no_input() -> None:
    """Replaces stdin, of which an earlier cell may have left some unread."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _cpu_ms() -> float:
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return (own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime) * 1000
