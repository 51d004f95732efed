"""Preconditions of a request (RFC 9110, section 13), judged by the very file that is read, replaced or deleted."""

import fcntl
import os
import stat
import time
from typing import Any, Literal

from _glovebox.files.file_tree import Refused, Tree, quote

_LOCK_TRIES = 40
_LOCK_EVERY_S = 0.05


def tag_of(status: os.stat_result) -> str:
    """Returns a text that changes with every change of a file.

    A new file has another inode, and no program can set the time of change.
    """
    return f"{status.st_ino:x}-{status.st_size:x}-{status.st_ctime_ns:x}"


def judge(conditions: dict[str, Any], status: os.stat_result | None) -> Literal["failed", "not_modified"] | None:
    """Which of the conditions stops a request, in the order of the RFC; None when none does.

    `match` and `none_match` are "*" or lists of tags, the others seconds; `status` is None where there is no file.
    """
    match = conditions.get("match")
    if match is not None:
        if status is None or (match != "*" and tag_of(status) not in match):
            return "failed"
    elif status is not None and "unmodified_since" in conditions:
        if int(status.st_mtime) > conditions["unmodified_since"]:
            return "failed"
    none_match = conditions.get("none_match")
    if none_match is not None:
        if status is not None and (none_match == "*" or tag_of(status) in none_match):
            return "not_modified"
    elif status is not None and "modified_since" in conditions:
        if int(status.st_mtime) <= conditions["modified_since"]:
            return "not_modified"
    return None


def require(tree: Tree, names: list[str], conditions: dict[str, Any] | None) -> None:
    """Refuses to change a file of which the conditions do not hold."""
    if conditions and judge(conditions, _status(tree, names)):
        raise changed("/".join(names))


def changed(path: str) -> Refused:
    return Refused("precondition_failed", f"{quote(path)} is not as the request requires it to be.")


def keeps_range(condition: dict[str, Any], status: os.stat_result) -> bool:
    """Whether the file is the one that `If-Range` names; a time tells that only when it has passed for a while."""
    if "tag" in condition:
        return bool(condition["tag"] == tag_of(status))
    return int(status.st_mtime) == condition["modified"] and time.time() - status.st_mtime >= 1


def _status(tree: Tree, names: list[str]) -> os.stat_result | None:
    status = tree.find(names)
    return status if status and stat.S_ISREG(status.st_mode) else None


class ChangeLock:
    """Keeps other processes of this kind from changing files between a look and a change.

    Code of the session can hold the lock as well, so it is not waited for without end.
    """

    def __init__(self, tree: Tree) -> None:
        self._root = tree.root
        self._descriptor = -1

    def __enter__(self) -> None:
        self._descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for _ in range(_LOCK_TRIES):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(_LOCK_EVERY_S)

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
