"""Brings back what a session keeps from the stream that workspace.py describes."""

import json
import os
from typing import Any

from _glovebox import zstd
from _glovebox.files import packing
from _glovebox.files.file_stream import CHUNK, PAGE, Input, answer, write_sparse
from _glovebox.files.file_tree import Refused, folder_in, refusal_of
from _glovebox.files.places import Place

_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC


def restore(workspace: Place, passing: Place) -> None:
    """Makes what comes in a workspace that is empty; whoever sent it drops the sandbox if that fails.

    What /tmp has no room for is counted as `missing`: it may be smaller than it was.
    """
    # Modes are given to files and folders when they are made.
    os.umask(0)
    source = Input(0)
    contents_of = _Source(source)
    folders: list[tuple[Place, list[str], dict[str, Any]]] = []
    entries = missing = 0
    while (line := source.line()) is not None:
        entry = json.loads(line)
        place = passing if passing.holds(entry["path"]) else workspace
        names = place.names(entry["path"])
        contents = contents_of.entry(entry)
        try:
            if entry["type"] == "directory":
                _make_folder(place, names, entry)
                folders.append((place, names, entry))
            else:
                _make(place, names, entry, contents)
        except (OSError, Refused) as error:
            if place is workspace or isinstance(error, packing.Damaged):
                raise refusal_of(error, entry["path"]) if isinstance(error, OSError) else error from None
            contents.skip()
            missing += 1
        entries += 1
    for place, names, entry in reversed(folders):
        # Last, because what is put into a folder changes its time, and it may be one that nothing can be put into.
        _finish_folder(place, names, entry)
    for place in (workspace, passing):
        place.close()
    answer({"ok": True, "entries": entries, "missing": missing})


def _make_folder(place: Place, names: list[str], entry: dict[str, Any]) -> None:
    try:
        os.mkdir(names[-1], _mode(entry) | 0o700, dir_fd=place.parent(names))
    except (FileExistsError, IndexError):
        with place.tree.folder(names):
            pass


def _finish_folder(place: Place, names: list[str], entry: dict[str, Any]) -> None:
    with place.tree.folder(names) if not names else folder_in(place.parent(names), names[-1]) as descriptor:
        os.utime(descriptor, ns=_times(entry))
        os.fchmod(descriptor, _mode(entry))


def _mode(entry: dict[str, Any]) -> int:
    return int(entry["mode"]) & 0o777


def _make(place: Place, names: list[str], entry: dict[str, Any], contents: "_Contents") -> None:
    parent = place.parent(names)
    if entry["type"] == "file":
        _write_file(names[-1], parent, entry, contents)
    elif entry["type"] == "link":
        os.symlink(entry["target"], names[-1], dir_fd=parent)
        os.utime(names[-1], ns=_times(entry), dir_fd=parent, follow_symlinks=False)
    else:
        other = place.names(entry["target"])
        with place.tree.folder(other[:-1]) as folder:
            os.link(other[-1], names[-1], src_dir_fd=folder, dst_dir_fd=parent, follow_symlinks=False)


def _write_file(name: str, parent: int, entry: dict[str, Any], contents: "_Contents") -> None:
    descriptor = os.open(name, _NEW, _mode(entry), dir_fd=parent)
    try:
        if contents.copy_to(descriptor, PAGE if entry.get("sparse") else CHUNK):
            os.ftruncate(descriptor, entry["size"])
        os.utime(descriptor, ns=_times(entry))
    except OSError:
        os.unlink(name, dir_fd=parent)
        raise
    finally:
        os.close(descriptor)


def _times(entry: dict[str, Any]) -> tuple[int, int]:
    return (entry["modified_ms"] * 1_000_000,) * 2


class _Source:
    """What comes, with the one unpacker that all its packed files share."""

    def __init__(self, source: Input) -> None:
        self._source = source
        self._unpacker: packing.Unpacker | None = None

    def entry(self, entry: dict[str, Any]) -> "_Contents":
        if entry["type"] != "file":
            return _Contents(self._source, 0)
        if "packed" in entry:
            return _PackedContents(self._source, entry["size"], entry["packed"], self._open())
        return _Contents(self._source, entry["size"])

    def _open(self) -> packing.Unpacker:
        if self._unpacker is None:
            path = zstd.library()
            if path is None:
                raise Refused("invalid_input", "This image has no libzstd.")
            self._unpacker = packing.Unpacker(path)
        return self._unpacker


class _Contents:
    """The bytes of one file, which are taken to their end whatever becomes of them."""

    def __init__(self, source: Input, size: int) -> None:
        self._source = source
        self._left = size

    def copy_to(self, descriptor: int, grain: int) -> bool:
        """Writes a file, with holes of `grain` bytes where there are zeros. Returns whether it ends with one."""
        sparse = _SparseWriter(descriptor, grain)
        size, self._left = self._left, 0
        self._source.copy_to(sparse, size)
        if sparse.failure:
            raise sparse.failure
        return sparse.ends_with_hole

    def skip(self) -> None:
        size, self._left = self._left, 0
        self._source.copy_to(_SparseWriter(None, CHUNK), size)


class _PackedContents(_Contents):
    """The bytes of one file, compressed."""

    def __init__(self, source: Input, size: int, packed: int, unpacker: packing.Unpacker) -> None:
        super().__init__(source, packed)
        self._size = size
        self._unpacker = unpacker

    def copy_to(self, descriptor: int, grain: int) -> bool:
        left = self._size
        ends_with_hole = False
        while left > 0:
            frame = self._take(int.from_bytes(self._take(4), "big"))
            size = min(packing.BLOCK, left)
            ends_with_hole = write_sparse(descriptor, self._unpacker.unpack(frame, size), grain)
            left -= size
        if self._left > 0:
            raise packing.Damaged
        return ends_with_hole

    def _take(self, size: int) -> memoryview:
        if size > min(self._left, len(self._unpacker.packed)):
            raise packing.Damaged
        self._left -= size
        return self._source.whole(size, self._unpacker.packed)


class _SparseWriter:
    """Writes, and leaves holes where there is nothing but zeros: a file takes no more room than it did.

    Once that has failed, or without a descriptor, it writes nothing more.
    """

    def __init__(self, descriptor: int | None, grain: int) -> None:
        self._descriptor = descriptor
        self._grain = grain
        self._at = 0
        self.ends_with_hole = False
        self.failure: OSError | None = None

    def write(self, data: memoryview) -> None:
        if self._descriptor is None:
            return
        try:
            # Pieces come as they were read: what is left of a page comes first, and then whole ones.
            lead = -self._at % self._grain
            self._at += len(data)
            for part in (data[:lead], data[lead:]):
                if part:
                    self.ends_with_hole = write_sparse(self._descriptor, part, self._grain)
        except OSError as error:
            self.failure = error
            self._descriptor = None
