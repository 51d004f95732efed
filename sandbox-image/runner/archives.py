"""All that a session keeps, as one stream to the control plane's archive and back.

For each entry a line of JSON, then the bytes of a file, as in bundles.py; but whole: packages and kept output too, hard
links as such, and symbolic links wherever they lead, since all of it comes back to a sandbox of the same owner only.
A file that the control plane knows already, by its `mark`, is sent as a line that says `same`, without its bytes.
"""

import json
import os
import stat
import time
from typing import Any

from file_stream import CHUNK, Input, Refusing, answer, send
from file_tree import LONGEST_PATH, Refused, Tree, describe, refusal_of, split_path
from paths import WORKSPACE

_FILE_CLOCK = 5
"""CLOCK_REALTIME_COARSE, which the kernel stamps files with."""
_TICKS_NS = 20_000_000
"""A file changed so lately may be changed again without its stamp telling."""
_ZEROS = memoryview(bytes(CHUNK))
_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC

Entry = tuple[list[str], os.stat_result]


def main(request: dict[str, Any], root: str = WORKSPACE) -> None:
    """Does what is asked and answers on stdout. Ends with code 1 when that could not be done to the end."""
    tree = Tree(root)
    with Refusing(root):
        if request["op"] == "restore":
            restore(tree)
        else:
            save(tree, request)


def save(tree: Tree, request: dict[str, Any]) -> None:
    """Takes lines `{path, mark}` of the files that are known; sends all there is.

    The answer counts what could not be read, or is nothing that lasts, as `unreadable` and `passing`.
    """
    _yield_processor()
    known = _take_known(Input(0))
    entries, counts = _collect(tree, request["max_entries"])
    total = sum(status.st_size for _, status in entries if stat.S_ISREG(status.st_mode))
    if total > request["max_bytes"]:
        raise Refused("too_large", f"The workspace holds {total} bytes, more than the {request['max_bytes']} that are kept.")
    answer({"ok": True, "entries": len(entries), "size": total})
    first_paths: dict[int, str] = {}
    for names, status in entries:
        try:
            _send_entry(tree, names, status, known, first_paths)
        except BrokenPipeError:
            raise
        except (PermissionError, Refused):
            counts["unreadable"] += 1
        except OSError:
            # Gone meanwhile, or something else now.
            continue
    answer({"end": True, **counts})


def _yield_processor() -> None:
    """Whatever the session's code does goes first."""
    try:
        os.nice(10)
    except OSError:
        pass


def _take_known(source: Input) -> dict[str, str]:
    known = {}
    while (line := source.line()) is not None:
        entry = json.loads(line)
        known[entry["path"]] = entry["mark"]
    return known


def _collect(tree: Tree, most: int) -> tuple[list[Entry], dict[str, int]]:
    """Everything below the workspace, folders before what is in them."""
    found: list[Entry] = []
    counts = {"unreadable": 0, "passing": 0}
    folders: list[list[str]] = [[]]
    while folders:
        folder = folders.pop()
        try:
            with tree.folder(folder) as descriptor, os.scandir(descriptor) as entries:
                for entry in entries:
                    names = [*folder, entry.name]
                    status = entry.stat(follow_symlinks=False)
                    kind = stat.S_IFMT(status.st_mode)
                    if kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
                        counts["passing"] += 1
                        continue
                    if len(os.fsencode("/".join(names))) > LONGEST_PATH:
                        counts["unreadable"] += 1
                        continue
                    found.append((names, status))
                    if len(found) > most:
                        raise Refused("too_large", f"The workspace holds more than the {most} entries that are kept.")
                    if kind == stat.S_IFDIR:
                        folders.append(names)
        except FileNotFoundError:
            continue
        except (OSError, Refused) as error:
            if isinstance(error, Refused) and error.code == "too_large":
                raise
            counts["unreadable"] += 1
    return found, counts


def _send_entry(tree: Tree, names: list[str], status: os.stat_result, known: dict[str, str], first: dict[int, str]) -> None:
    path = "/".join(names)
    described = _describe(path, status)
    if described["type"] == "link":
        with tree.folder(names[:-1]) as parent:
            described["target"] = os.readlink(names[-1], dir_fd=parent)
    if described["type"] != "file":
        answer(described)
    elif status.st_nlink > 1 and status.st_ino in first:
        answer({**described, "type": "hard", "size": 0, "target": first[status.st_ino]})
    else:
        mark = _mark(status)
        if mark and known.get(path) == mark:
            answer({**described, "mark": mark, "same": True})
        else:
            _send_file(tree, names, path)
        if status.st_nlink > 1:
            first[status.st_ino] = path


def _describe(path: str, status: os.stat_result) -> dict[str, Any]:
    return {**describe(path, status), "mode": stat.S_IMODE(status.st_mode) & 0o777}


def _mark(status: os.stat_result) -> str:
    """What no later state of the file has: programs cannot set its change time. Empty while that is too fresh to tell."""
    if status.st_ctime_ns > time.clock_gettime_ns(_FILE_CLOCK) - _TICKS_NS:
        return ""
    return f"{status.st_ino}.{status.st_ctime_ns}.{status.st_size}"


def _send_file(tree: Tree, names: list[str], path: str) -> None:
    """Exactly as long as announced: what a writer cuts off meanwhile is sent as zeros, and sent again the next time."""
    descriptor = _open(tree, names)
    try:
        status = os.fstat(descriptor)
        answer({**_describe(path, status), "mark": _mark(status)})
        left = status.st_size
        while left > 0:
            data = os.read(descriptor, min(CHUNK, left)) or bytes(_ZEROS[:left])
            send(data)
            left -= len(data)
    finally:
        os.close(descriptor)


def _open(tree: Tree, names: list[str]) -> int:
    try:
        return tree.open_file(names)
    except PermissionError:
        # The owner may still let themselves in, for a moment.
        with tree.folder(names[:-1]) as parent:
            mode = stat.S_IMODE(os.stat(names[-1], dir_fd=parent, follow_symlinks=False).st_mode)
            os.chmod(names[-1], mode | 0o400, dir_fd=parent)
            try:
                return tree.open_file(names)
            finally:
                os.chmod(names[-1], mode, dir_fd=parent)


def restore(tree: Tree) -> None:
    """Makes what comes in a workspace that is empty; whoever sent it drops the sandbox if that fails."""
    source = Input(0)
    folders: list[tuple[list[str], dict[str, Any]]] = []
    entries = 0
    while (line := source.line()) is not None:
        entry = json.loads(line)
        names = split_path(entry["path"], tree.root)
        try:
            if entry["type"] == "directory":
                with tree.folder(names, make=True):
                    folders.append((names, entry))
            else:
                _make(tree, names, entry, source)
        except OSError as error:
            raise refusal_of(error, entry["path"]) from None
        entries += 1
    for names, entry in reversed(folders):
        # Last, because a folder may be one that nothing can be put into.
        with tree.folder(names) as descriptor:
            os.utime(descriptor, ns=_times(entry))
            os.fchmod(descriptor, entry["mode"] & 0o777)
    answer({"ok": True, "entries": entries})


def _make(tree: Tree, names: list[str], entry: dict[str, Any], source: Input) -> None:
    with tree.folder(names[:-1], make=True) as parent:
        if entry["type"] == "file":
            _write_file(names[-1], parent, entry, source)
        elif entry["type"] == "link":
            os.symlink(entry["target"], names[-1], dir_fd=parent)
            os.utime(names[-1], ns=_times(entry), dir_fd=parent, follow_symlinks=False)
        else:
            other = split_path(entry["target"], tree.root)
            with tree.folder(other[:-1]) as folder:
                os.link(other[-1], names[-1], src_dir_fd=folder, dst_dir_fd=parent, follow_symlinks=False)


def _write_file(name: str, parent: int, entry: dict[str, Any], source: Input) -> None:
    descriptor = os.open(name, _NEW, 0o600, dir_fd=parent)
    try:
        source.copy_to(_Sparse(descriptor), entry["size"])
        os.ftruncate(descriptor, entry["size"])
        os.fchmod(descriptor, entry["mode"] & 0o777)
        os.utime(descriptor, ns=_times(entry))
    finally:
        os.close(descriptor)


def _times(entry: dict[str, Any]) -> tuple[int, int]:
    return (entry["modified_ms"] * 1_000_000,) * 2


class _Sparse:
    """Writes, and leaves holes where there is nothing but zeros: a file takes no more room than it did."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: memoryview) -> None:
        for at in range(0, len(data), CHUNK):
            remaining = data[at : at + CHUNK]
            if remaining == _ZEROS[: len(remaining)]:
                os.lseek(self._descriptor, len(remaining), os.SEEK_CUR)
                continue
            while remaining:
                remaining = remaining[os.write(self._descriptor, remaining) :]
