"""What a supervisor tells of a command: its processes when it was interrupted, and the commands that there are."""

import os
from itertools import islice
from typing import Any

from _glovebox import linux

NOT_FOUND = 127
"""The exit code of a shell that has not found a command."""
MAX_PROCESSES = 50
MAX_COMMAND = 200
"""Characters of a process's command line."""
MAX_FOLDERS = 32
MAX_NAMES = 4000
MAX_NAME = 64
_STATES = {"R": "running", "S": "sleeping", "D": "waiting for a disk", "T": "stopped", "t": "stopped"}
_TICKS = os.sysconf("SC_CLK_TCK")


def path_of(start: dict[str, Any]) -> str | None:
    """Where a command looks for others; None if it is code that runs. The code itself may have said so."""
    command = start.get("command")
    path = command.get("path") if isinstance(command, dict) else None
    return path if isinstance(path, str) else None


def processes(besides: int | None = None) -> list[dict[str, Any]]:
    """The live processes below this one but one of them, parents before children."""
    found = []
    for pid in linux.descendants(os.getpid())[:MAX_PROCESSES]:
        if pid != besides and (fields := linux.state(pid)) and (command := _command_of(pid)):
            # State and parent, and the ticks in user and kernel mode.
            state, parent, ticks = fields[0].decode(), int(fields[1]), int(fields[11]) + int(fields[12])
            about = {"pid": pid, "parent": parent, "command": command, "state": _STATES.get(state, state)}
            found.append({**about, "cpu_ms": round(ticks * 1000 / _TICKS)})
    return found


def _command_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb", buffering=0) as file:
            words = file.read(MAX_COMMAND * 4).rstrip(b"\0").split(b"\0")
    except OSError:
        return ""
    return b" ".join(words).decode(errors="replace")[:MAX_COMMAND]


def commands(path: str) -> list[str]:
    """Names of the programs in the folders of a search path."""
    names: set[str] = set()
    for folder in filter(os.path.isabs, path.split(os.pathsep)[:MAX_FOLDERS]):
        try:
            with os.scandir(folder) as entries:
                names.update(entry.name for entry in islice(entries, MAX_NAMES))
        except OSError:
            continue
    return sorted(name for name in names if len(name) <= MAX_NAME and name.isprintable())[:MAX_NAMES]
