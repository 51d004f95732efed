"""All that a session keeps, its workspace and /tmp, as one stream to the control plane's archive and back.

Paths are relative to the workspace, and absolute of what is in /tmp. For each entry a line of JSON, then the bytes of a
file, as in bundles.py; but whole: packages and kept output too, hard links as such, and symbolic links wherever they
lead, since all of it comes back to a sandbox of the same owner only. A file that the control plane knows already, by its
`mark`, is sent as a line that says `same`, without its bytes.
"""

import json
import os
import stat
import time
from typing import Any

from _glovebox.files.file_names import LeftOut
from _glovebox.files.file_stream import CHUNK, Input, Refusing, answer, send, write_sparse
from _glovebox.files.file_tree import LONGEST_PATH, Refused, Tree, describe, refusal_of, split_path
from _glovebox.paths import OWN_IN_TMP, TMP, WORKSPACE

_FILE_CLOCK = 5
"""CLOCK_REALTIME_COARSE, which the kernel stamps files with."""
_TICKS_NS = 20_000_000
"""A file changed so lately may be changed again without its stamp telling."""
_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class Place:
    """A folder whose contents are kept, and what their paths in the archive begin with."""

    def __init__(self, root: str, prefix: str = "") -> None:
        self.tree = Tree(root)
        self.prefix = prefix

    def holds(self, path: str) -> bool:
        return path.startswith(self.prefix)

    def path(self, names: list[str]) -> str:
        return self.prefix + "/".join(names)

    def names(self, path: str) -> list[str]:
        return split_path(path[len(self.prefix) :], self.tree.root)

    def leave_out(self, names: list[str], left_out: LeftOut) -> None:
        """Takes note of what is not kept of the workspace; /tmp is for passing things."""
        if not self.prefix:
            left_out.add(self.path(names))

    def is_own(self, names: list[str], kind: int) -> bool:
        return bool(self.prefix) and len(names) == 1 and kind == stat.S_IFDIR and bool(OWN_IN_TMP.fullmatch(names[0]))


Entry = tuple[Place, list[str], os.stat_result]


def main(request: dict[str, Any], root: str = WORKSPACE, tmp: str = TMP) -> None:
    """Does what is asked and answers on stdout. Ends with code 1 when that could not be done to the end."""
    workspace, passing = Place(root), Place(tmp, f"{TMP}/")
    with Refusing(root):
        if request["op"] == "restore":
            restore(workspace, passing)
        else:
            save([workspace, passing], request)


def save(places: list[Place], request: dict[str, Any]) -> None:
    """Takes lines `{path, mark}` of the files that are known; sends all there is.

    The end counts what could not be read, or is nothing that lasts, as `unreadable` and `passing`, and names it.
    """
    _yield_processor()
    known = _take_known(Input(0))
    entries: list[Entry] = []
    counts = {"unreadable": 0, "passing": 0}
    left_out = LeftOut()
    for place in places:
        _collect(place, request["max_entries"], entries, counts, left_out)
    total = sum(status.st_size for *_, status in entries if stat.S_ISREG(status.st_mode))
    if total > request["max_bytes"]:
        raise Refused("too_large", f"The workspace holds {total} bytes, more than the {request['max_bytes']} that are kept.")
    answer({"ok": True, "entries": len(entries), "size": total})
    first_paths: dict[tuple[int, int], str] = {}
    for entry in entries:
        try:
            _send_entry(entry, known, first_paths)
        except BrokenPipeError:
            raise
        except (PermissionError, Refused):
            counts["unreadable"] += 1
            entry[0].leave_out(entry[1], left_out)
        except OSError:
            # Deleted in the meantime, or something else now.
            continue
    answer({"end": True, **counts, "left_out": left_out.told()})


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


def _collect(place: Place, most: int, found: list[Entry], counts: dict[str, int], left_out: LeftOut) -> None:
    """Everything below a place, folders before what is in them."""
    folders: list[list[str]] = [[]]
    while folders:
        folder = folders.pop()
        try:
            with place.tree.folder(folder) as descriptor, os.scandir(descriptor) as entries:
                for entry in entries:
                    names = [*folder, entry.name]
                    status = entry.stat(follow_symlinks=False)
                    kind = stat.S_IFMT(status.st_mode)
                    if place.is_own(names, kind):
                        continue
                    if kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
                        counts["passing"] += 1
                        place.leave_out(names, left_out)
                        continue
                    if len(os.fsencode(place.path(names))) > LONGEST_PATH:
                        counts["unreadable"] += 1
                        place.leave_out(names, left_out)
                        continue
                    found.append((place, names, status))
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
            place.leave_out(folder, left_out)


def _send_entry(entry: Entry, known: dict[str, str], first: dict[tuple[int, int], str]) -> None:
    place, names, status = entry
    path = place.path(names)
    described = _describe(path, status)
    if described["type"] == "link":
        with place.tree.folder(names[:-1]) as parent:
            described["target"] = os.readlink(names[-1], dir_fd=parent)
    inode = (status.st_dev, status.st_ino)
    if described["type"] != "file":
        answer(described)
    elif status.st_nlink > 1 and inode in first:
        answer({**described, "type": "hard", "size": 0, "target": first[inode]})
    else:
        mark = _mark(status)
        if mark and known.get(path) == mark:
            answer({**described, "mark": mark, "same": True})
        else:
            _send_file(place.tree, names, path)
        if status.st_nlink > 1:
            first[inode] = path


def _describe(path: str, status: os.stat_result) -> dict[str, Any]:
    return {**describe(path, status), "mode": stat.S_IMODE(status.st_mode) & 0o777}


def _mark(status: os.stat_result) -> str:
    """Returns a text that no later state of the file has: programs cannot set its time of change.

    Empty while that time is too recent to tell two changes apart.
    """
    if status.st_ctime_ns > time.clock_gettime_ns(_FILE_CLOCK) - _TICKS_NS:
        return ""
    return f"{status.st_ino}.{status.st_ctime_ns}.{status.st_size}"


def _send_file(tree: Tree, names: list[str], path: str) -> None:
    """Exactly as long as announced: what a writer cuts off in the meantime is sent as zeros, and again the next time."""
    descriptor = tree.open_closed_file(names)
    try:
        status = os.fstat(descriptor)
        answer({**_describe(path, status), "mark": _mark(status)})
        left = status.st_size
        while left > 0:
            data = os.read(descriptor, min(CHUNK, left)) or bytes(min(CHUNK, left))
            send(data)
            left -= len(data)
    finally:
        os.close(descriptor)


def restore(workspace: Place, passing: Place) -> None:
    """Makes what comes in a workspace that is empty; whoever sent it drops the sandbox if that fails.

    What /tmp has no room for is counted as `missing`: it may be smaller than it was.
    """
    source = Input(0)
    folders: list[tuple[Place, list[str], dict[str, Any]]] = []
    entries = missing = 0
    while (line := source.line()) is not None:
        entry = json.loads(line)
        place = passing if passing.holds(entry["path"]) else workspace
        names = place.names(entry["path"])
        contents = _Contents(source, entry["size"] if entry["type"] == "file" else 0)
        try:
            if entry["type"] == "directory":
                with place.tree.folder(names, make=True):
                    folders.append((place, names, entry))
            else:
                _make(place, names, entry, contents)
        except (OSError, Refused) as error:
            if place is workspace:
                raise refusal_of(error, entry["path"]) if isinstance(error, OSError) else error from None
            contents.skip()
            missing += 1
        entries += 1
    for place, names, entry in reversed(folders):
        # Last, because a folder may be one that nothing can be put into.
        with place.tree.folder(names) as descriptor:
            os.utime(descriptor, ns=_times(entry))
            os.fchmod(descriptor, entry["mode"] & 0o777)
    answer({"ok": True, "entries": entries, "missing": missing})


def _make(place: Place, names: list[str], entry: dict[str, Any], contents: "_Contents") -> None:
    tree = place.tree
    with tree.folder(names[:-1], make=True) as parent:
        if entry["type"] == "file":
            _write_file(names[-1], parent, entry, contents)
        elif entry["type"] == "link":
            os.symlink(entry["target"], names[-1], dir_fd=parent)
            os.utime(names[-1], ns=_times(entry), dir_fd=parent, follow_symlinks=False)
        else:
            other = place.names(entry["target"])
            with tree.folder(other[:-1]) as folder:
                os.link(other[-1], names[-1], src_dir_fd=folder, dst_dir_fd=parent, follow_symlinks=False)


def _write_file(name: str, parent: int, entry: dict[str, Any], contents: "_Contents") -> None:
    descriptor = os.open(name, _NEW, 0o600, dir_fd=parent)
    try:
        contents.copy_to(descriptor)
        os.ftruncate(descriptor, entry["size"])
        os.fchmod(descriptor, entry["mode"] & 0o777)
        os.utime(descriptor, ns=_times(entry))
    except OSError:
        os.unlink(name, dir_fd=parent)
        raise
    finally:
        os.close(descriptor)


def _times(entry: dict[str, Any]) -> tuple[int, int]:
    return (entry["modified_ms"] * 1_000_000,) * 2


class _Contents:
    """The bytes of one file, which are taken to their end whatever becomes of them."""

    def __init__(self, source: Input, size: int) -> None:
        self._source = source
        self._left = size

    def copy_to(self, descriptor: int) -> None:
        sparse = _SparseWriter(descriptor)
        size, self._left = self._left, 0
        self._source.copy_to(sparse, size)
        if sparse.failure:
            raise sparse.failure

    def skip(self) -> None:
        size, self._left = self._left, 0
        self._source.copy_to(_SparseWriter(None), size)


class _SparseWriter:
    """Writes, and leaves holes where there is nothing but zeros: a file takes no more room than it did.

    Once that has failed, or without a descriptor, it writes nothing more.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self.failure: OSError | None = None

    def write(self, data: memoryview) -> None:
        if self._descriptor is None:
            return
        try:
            write_sparse(self._descriptor, data)
        except OSError as error:
            self.failure = error
            self._descriptor = None
