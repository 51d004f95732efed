"""The process of a context: runs one cell after the other in an interpreter that stays. Imported only there."""

import os
import resource
import signal
import sys
from typing import Any

import linux
import patches
import results
from cell_variables import CellVariables
from context import Context
from ending import exit_code
from execution import read_request
from imported import Imported
from program import OWN_DESCRIPTORS, prepare_run, report_error, tell, tell_imported
from unseen import unseen


@unseen
def serve(request: dict[str, Any] | None, requests: int, display: int, report: int) -> None:
    """Runs that request and those that follow, until there are no more."""
    patches.install()
    # As at a prompt: there is no script.
    sys.argv = [""]
    sys.orig_argv = [sys.executable]
    context = Context()
    imported = Imported()
    while request is not None:
        before = _cpu_ms()
        variables = CellVariables(request.get("env", {}))
        _give_no_input()
        results.open(display, **request["results"])
        error = _run(context, request, report, variables)
        linux.spare_descriptors(0)
        results.finish()
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


@unseen
def _run(
    context: Context, request: dict[str, Any], report: int, variables: CellVariables
) -> BaseException | None:
    """Between cells an interrupt means nothing: the one that it was meant for has ended."""
    try:
        try:
            # Before the supervisor hears of the start: from then on it may interrupt.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            prepare_run(request, report)
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
    """Not what an earlier cell left unread."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _cpu_ms() -> float:
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return (own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime) * 1000
