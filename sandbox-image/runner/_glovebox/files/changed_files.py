"""Which files an execution changed."""

import os
import time
from collections.abc import Iterator
from typing import Any

from _glovebox.files.file_names import spell
from _glovebox.paths import OWN_IN_TMP, TMP, WORKSPACE

MAX_FILES = 200
MAX_PATH_CHARACTERS = 64 * 1024
"""Characters of all paths together."""
MAX_SCANNED_ENTRIES = 20_000
_CLOCK_REALTIME_COARSE = 5
"""The clock that the kernel stamps files with."""


def start_stamp(settled_ns: int) -> int:
    """A time that no earlier change has and every later one has or passes.

    Waits for the file clock's next tick (a few ms) when an earlier execution changed files within this one.
    """
    while (now := time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)) <= settled_ns:
        time.sleep(0.0005)
    return now


def changed_files(since_ns: int) -> tuple[list[dict[str, Any]], int]:
    """Files of the workspace changed since then, hidden folders and byte code left out, and the newest stamp seen.

    By change time, which programs cannot set.
    """
    changed: list[dict[str, Any]] = []
    newest = 0
    room = MAX_PATH_CHARACTERS
    for entry in _walk(WORKSPACE):
        try:
            stat = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        if stat.st_ctime_ns < since_ns:
            continue
        newest = max(newest, stat.st_ctime_ns)
        path = os.path.relpath(entry.path, WORKSPACE)
        room -= len(path)
        if entry.is_file(follow_symlinks=False) and room >= 0 and len(changed) < MAX_FILES:
            changed.append({"path": spell(path), "size": stat.st_size})
    changed.sort(key=lambda file: file["path"])
    return changed, newest


def tmp_changed(since_ns: int) -> bool:
    """Whether files in /tmp were changed since then."""
    for entry in _walk(TMP):
        try:
            if entry.stat(follow_symlinks=False).st_ctime_ns >= since_ns:
                return True
        except OSError:
            continue
    return False


def _walk(top: str) -> Iterator[os.DirEntry[str]]:
    """Entries below a folder that are no folders, up to a limit; no byte code, none of hidden folders and of the runner's own."""
    directories = [top]
    scanned = 0
    while directories:
        try:
            with os.scandir(directories.pop()) as entries:
                for entry in entries:
                    scanned += 1
                    if scanned > MAX_SCANNED_ENTRIES:
                        return
                    if not entry.is_dir(follow_symlinks=False):
                        if not entry.name.endswith(".pyc"):
                            yield entry
                    elif _is_of_code(top, entry.name):
                        directories.append(entry.path)
        except OSError:
            continue


def _is_of_code(top: str, name: str) -> bool:
    """Whether a folder has files that are the code's own."""
    return not name.startswith(".") and name != "__pycache__" and not (top == TMP and OWN_IN_TMP.fullmatch(name))
