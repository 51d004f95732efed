"""What the process of the code tells its supervisor: lines of JSON on a pipe."""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from _glovebox import linux
from _glovebox.own_modules import import_own
from _glovebox.process.imported_modules import ImportedModules


def tell(report: int, said: dict[str, Any]) -> None:
    """One line to the supervisor."""
    remaining = memoryview(json.dumps(said).encode() + b"\n")
    while remaining:
        remaining = remaining[os.write(report, remaining) :]


def tell_imported(report: int, imported: ImportedModules) -> None:
    """Tells the supervisor what later programs may want to find loaded."""
    if names := imported.take():
        tell(report, {"imported": names})


def show_error(error: BaseException, report: int) -> None:
    """Shows an uncaught exception as the interpreter would, and reports it."""
    try:
        import_own("process.own_frames").drop_own_frames(error)
    except Exception:  # noqa: BLE001 - out of memory, or of descriptors: then with the runner's own
        pass
    hook: Callable[..., Any] = sys.excepthook
    hook(type(error), error, error.__traceback__)
    report_error(error, report)


def report_error(error: BaseException, report: int) -> None:
    linux.spare_descriptors(0)
    try:
        import_own("process.error_report").report(error, lambda body: tell(report, {"error": body}))
    except Exception:  # noqa: BLE001 - the report is a courtesy; the code's own stderr already has the traceback
        pass
