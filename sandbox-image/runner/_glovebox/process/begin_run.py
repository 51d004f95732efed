"""What each run needs before its code, that of a script and that of a cell."""

import _thread
import os
import time
from typing import Any

from _glovebox import linux
from _glovebox.files import changed_files
from _glovebox.process import web_clients
from _glovebox.process.reporting import tell

OWN_DESCRIPTORS = 8
"""Kept from the code, so that it can be told of an error even when it has used up all others."""


def begin_run(request: dict[str, Any], report: int, script: str | None = None, **more: Any) -> dict[str, Any]:
    """Tells the supervisor that the run starts, and `more` of it; returns what that has been told."""
    variables = request.get("env", {})
    os.environ.update(variables)
    if "TZ" in variables:
        time.tzset()
    web_clients.use_proxy_of_now()
    if "stdin" in request:
        _give_stdin(request["stdin"])
    start = {
        "oom_kills": linux.oom_kills(),
        "started_ns": changed_files.start_stamp(request["settled_ns"]),
        "main_thread": _thread.get_ident(),
        **({"script": script} if script else {}),
        **more,
    }
    tell(report, {"start": start})
    return start


def _give_stdin(text: str) -> None:
    descriptor = os.memfd_create("stdin", os.MFD_CLOEXEC)
    remaining = memoryview(text.encode())
    while remaining:
        remaining = remaining[os.write(descriptor, remaining) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.dup2(descriptor, 0)
    os.close(descriptor)
