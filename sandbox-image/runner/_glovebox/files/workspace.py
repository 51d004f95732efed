"""All that a session keeps, its workspace and /tmp, as one stream to the control plane's archive and back.

Paths are relative to the workspace, and absolute of what is in /tmp. For each entry a line of JSON, then the bytes of a
file, as in bundles.py; but whole: packages and kept output too, hard links as such, and symbolic links wherever they
lead, since all of it comes back to a sandbox of the same owner only. A file that the control plane knows already, by its
`mark`, is sent as a line that says `same`, without its bytes. Where the request says `pack`, a file that gains by it is
sent as a line that says `packed`, with the blocks of packing.py; one with holes says `sparse`, and gets them again where
whole pages of it are zeros. On the way back `packed` is the number of their bytes.
"""

import json
import os
import stat
import time
from typing import Any

from _glovebox import zstd
from _glovebox.files import packing
from _glovebox.files.file_names import LeftOut
from _glovebox.files.file_stream import CHUNK, Input, Output, Refusing, answer
from _glovebox.files.file_tree import LONGEST_PATH, Refused, describe
from _glovebox.files.places import Place
from _glovebox.files.restoring import restore
from _glovebox.paths import TMP, WORKSPACE

_FILE_CLOCK = 5
"""CLOCK_REALTIME_COARSE, which the kernel stamps files with."""
_TICKS_NS = 20_000_000
"""A file changed so lately may be changed again without its stamp telling."""

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
    sender = _Sender(known, _packer(request))
    entries: list[Entry] = []
    counts = {"unreadable": 0, "passing": 0}
    left_out = LeftOut()
    for place in places:
        _collect(place, request["max_entries"], entries, counts, left_out)
    total = sum(status.st_size for *_, status in entries if stat.S_ISREG(status.st_mode))
    if total > request["max_bytes"]:
        raise Refused("too_large", f"The workspace holds {total} bytes, more than the {request['max_bytes']} that are kept.")
    answer({"ok": True, "entries": len(entries), "size": total})
    for entry in entries:
        try:
            sender.send(entry)
        except BrokenPipeError:
            raise
        except (PermissionError, Refused):
            counts["unreadable"] += 1
            entry[0].leave_out(entry[1], left_out)
        except OSError:
            # Deleted in the meantime, or something else now.
            continue
    sender.end({"end": True, **counts, "left_out": left_out.told()})
    for place in places:
        place.close()


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


def _packer(request: dict[str, Any]) -> packing.Packer | None:
    path = zstd.library() if request.get("pack") else None
    return packing.Packer(path) if path else None


class _Sender:
    """Sends one entry after the other."""

    def __init__(self, known: dict[str, str], packer: packing.Packer | None) -> None:
        self._known = known
        self._packer = packer
        self._first: dict[tuple[int, int], str] = {}
        """The first path of each file that has several."""
        self._output = Output()

    def send(self, entry: Entry) -> None:
        place, names, status = entry
        path = place.path(names)
        described = _describe(path, status)
        if described["type"] == "link":
            described["target"] = os.readlink(names[-1], dir_fd=place.parent(names, make=False))
        inode = (status.st_dev, status.st_ino)
        if described["type"] != "file":
            self._output.describe(described)
        elif status.st_nlink > 1 and inode in self._first:
            self._output.describe({**described, "type": "hard", "size": 0, "target": self._first[inode]})
        else:
            mark = _mark(status)
            if mark and self._known.get(path) == mark:
                self._output.describe({**described, "mark": mark, "same": True})
            else:
                self._send_file(place, names, path)
            if status.st_nlink > 1:
                self._first[inode] = path

    def end(self, value: dict[str, Any]) -> None:
        self._output.describe(value)
        self._output.flush()

    def _send_file(self, place: Place, names: list[str], path: str) -> None:
        """Exactly as long as announced: what a writer cuts off in the meantime is sent as zeros, and again the next time."""
        descriptor = place.open_closed_file(names)
        try:
            status = os.fstat(descriptor)
            described = {**_describe(path, status), "mark": _mark(status)}
            if status.st_blocks * 512 < status.st_size:
                described["sparse"] = True
            if self._packer and status.st_size >= packing.LEAST:
                self._send_packed(descriptor, status.st_size, described, self._packer)
                return
            self._output.describe(described)
            left = status.st_size
            while left > 0:
                data = os.read(descriptor, min(CHUNK, left)) or bytes(min(CHUNK, left))
                self._output.send(data)
                left -= len(data)
        finally:
            os.close(descriptor)

    def _send_packed(self, descriptor: int, left: int, described: dict[str, Any], packer: packing.Packer) -> None:
        """Packs a file, unless its beginning shows that this gains little."""
        block = _read_block(descriptor, left, packer)
        packed = packer.pack(len(block))
        packs = packing.is_worth_it(packed, len(block))
        self._output.describe({**described, "packed": True} if packs else described)
        while True:
            self._output.send(packed if packs else block)
            left -= len(block)
            if left == 0:
                return
            block = _read_block(descriptor, left, packer)
            if packs:
                packed = packer.pack(len(block))


def _describe(path: str, status: os.stat_result) -> dict[str, Any]:
    return {**describe(path, status), "mode": stat.S_IMODE(status.st_mode) & 0o777}


def _mark(status: os.stat_result) -> str:
    """Returns a text that no later state of the file has: programs cannot set its time of change.

    Empty while that time is too recent to tell two changes apart.
    """
    if status.st_ctime_ns > time.clock_gettime_ns(_FILE_CLOCK) - _TICKS_NS:
        return ""
    return f"{status.st_ino}.{status.st_ctime_ns}.{status.st_size}"


def _read_block(descriptor: int, left: int, packer: packing.Packer) -> memoryview:
    """The next block of a file, with zeros beyond its end."""
    block = packer.plain[: min(packing.BLOCK, left)]
    at = 0
    while at < len(block):
        size = os.readv(descriptor, [block[at:]])
        if size == 0:
            block[at:] = bytes(len(block) - at)
            break
        at += size
    return block
