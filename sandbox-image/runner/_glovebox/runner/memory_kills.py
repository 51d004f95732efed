"""Whose process it was that the memory limit ended: the kernel counts for the whole sandbox, where several may run."""

import signal
from collections.abc import Collection
from typing import Any

from _glovebox.runner.execution import Execution


def begin(execution: Execution, running: Collection[Execution]) -> None:
    """Notes which executions run at the same time."""
    others = [other for other in running if other is not execution]
    execution.beside = bool(others)
    execution.is_killed = False
    execution.others_memory_kills = 0
    for other in others:
        other.beside = True


def settle(execution: Execution, report: dict[str, Any], running: Collection[Execution]) -> None:
    """Leaves `oom_killed` in the report only where one of its own processes may be meant.

    That is so for one that ran alone. Beside others, a process of it must have ended, and a kill must be left that
    is not known to have ended the program of another.
    """
    kills = report.pop("oom_kills", 0)
    ended = report.pop("processes_ended", False)
    if not report.get("oom_killed"):
        return
    is_own = report.get("signal") == signal.SIGKILL and not execution.is_killed
    if execution.beside:
        report["oom_killed"] = (is_own or ended) and kills > execution.others_memory_kills
    if is_own and report["oom_killed"]:
        for other in running:
            other.others_memory_kills += 1
