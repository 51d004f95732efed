"""Many files as one stream: for each entry a line of JSON, then the bytes of a file; at the end a line that says so.

The control plane makes a tar of it, or makes it from one, so no archive is ever parsed in here.
"""

import json
import os
import stat
import sys
from typing import Any

from _glovebox.files.atomic_file import AtomicFile, passing_name, unlink_if_there
from _glovebox.files.file_names import LeftOut
from _glovebox.files.file_stream import CHUNK, Input, answer, send
from _glovebox.files.file_tree import LONGEST_PATH, Refused, Tree, describe, quote, refusal_of, split_path, stays_inside

HIDDEN = (".glovebox", ".local")
"""Folders of the product and of packages: left out unless asked for by path."""
DEEPEST = 64
"""Folders on the way to an entry, as src/tar/entry.ts takes them."""


def pack(tree: Tree, top: list[str], max_entries: int, max_bytes: int) -> None:
    """Sends a folder's files, folders and the links that stay inside; anything else is named and left out."""
    left_out = LeftOut()
    entries = _collect(tree, top, max_entries, left_out)
    total = sum(status.st_size for _, status in entries if stat.S_ISREG(status.st_mode))
    if total > max_bytes:
        raise Refused("too_large", f"The folder holds {total} bytes, more than the {max_bytes} that are packed.")
    answer({"ok": True, "entries": len(entries), "size": total, "left_out": left_out.told()})
    for names, status in entries:
        max_bytes -= _send_entry(tree, top, names, status, max_bytes)
    answer({"end": True})


def _collect(tree: Tree, top: list[str], most: int, left_out: LeftOut) -> list[tuple[list[str], os.stat_result]]:
    found: list[tuple[list[str], os.stat_result]] = []
    folders = [top]
    while folders:
        folder = folders.pop()
        below: list[list[str]] = []
        try:
            with tree.folder(folder) as descriptor, os.scandir(descriptor) as entries:
                for entry in entries:
                    names = [*folder, entry.name]
                    status = entry.stat(follow_symlinks=False)
                    if names[0] in HIDDEN and not top:
                        continue
                    if not _can_be_packed(names, len(top), status, descriptor):
                        left_out.add("/".join(names[len(top) :]))
                        continue
                    found.append((names, status))
                    if stat.S_ISDIR(status.st_mode):
                        below.append(names)
                    if len(found) > most:
                        raise Refused("too_large", f"The folder holds more than the {most} entries that are packed.")
        except (OSError, Refused) as error:
            if isinstance(error, Refused) and (error.code == "too_large" or folder is top):
                raise
            # Not readable, or deleted in the meantime.
            left_out.add("/".join(folder[len(top) :]) or ".")
        folders.extend(below)
    found.sort(key=lambda item: item[0])
    return found


def _can_be_packed(names: list[str], top: int, status: os.stat_result, parent: int) -> bool:
    depth = len(names) - top
    if depth > DEEPEST or len(os.fsencode("/".join(names))) > LONGEST_PATH:
        return False
    if stat.S_ISLNK(status.st_mode):
        return stays_inside(os.readlink(names[-1], dir_fd=parent), depth - 1)
    return stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)


def _send_entry(tree: Tree, top: list[str], names: list[str], status: os.stat_result, room: int) -> int:
    """Its size. What has changed its kind in the meantime is left out; what has shrunk ends everything with code 1."""
    described = describe("/".join(names[len(top) :]), status)
    described["mode"] = stat.S_IMODE(status.st_mode) & 0o777
    try:
        if described["type"] == "link":
            with tree.folder(names[:-1]) as parent:
                described["target"] = os.readlink(names[-1], dir_fd=parent)
            if not stays_inside(described["target"], len(names) - len(top) - 1):
                return 0
        if described["type"] != "file":
            answer(described)
            return 0
        descriptor = tree.open_closed_file(names)
    except (OSError, Refused):
        return 0
    try:
        described["size"] = size = os.fstat(descriptor).st_size
        if size > room:
            sys.exit(1)
        answer(described)
        sent = 0
        while sent < size:
            data = os.read(descriptor, min(CHUNK, size - sent))
            if not data:
                sys.exit(1)
            send(data)
            sent += len(data)
        return size
    finally:
        os.close(descriptor)


def unpack(tree: Tree, top: list[str]) -> None:
    """Puts the entries that come into a folder, each file once it is whole; those before a failure stay."""
    source = Input(0)
    files, size = 0, 0
    folders: dict[tuple[str, ...], dict[str, Any]] = {}
    with tree.folder(top, make=True):
        pass
    while (line := source.line()) is not None:
        entry = _parse(line)
        names = [*top, *split_path(entry["path"], tree.root)]
        try:
            if entry["type"] == "file":
                with AtomicFile(tree, sparse=True) as incoming:
                    source.copy_to(incoming, entry["size"])
                    incoming.put(names, replace=True, mode=entry["mode"] & 0o777, modified_ms=entry["modified_ms"])
                files, size = files + 1, size + incoming.size
            elif entry["type"] == "directory":
                with tree.folder(names, make=True):
                    folders[tuple(names)] = entry
            elif entry["type"] == "hard":
                _make_hard_link(tree, names, [*top, *split_path(entry["target"], tree.root)])
                files += 1
            else:
                _make_link(tree, names, entry["target"], len(names) - len(top) - 1)
        except OSError as error:
            raise refusal_of(error, "/".join(names)) from None
    _finish_folders(tree, folders)
    answer({"ok": True, "files": files, "size": size})


def _finish_folders(tree: Tree, folders: dict[tuple[str, ...], dict[str, Any]]) -> None:
    """Last, because putting something in changes a folder's time, and a folder may be one that takes nothing."""
    for names, entry in sorted(folders.items(), key=lambda item: -len(item[0])):
        try:
            with tree.folder(list(names)) as descriptor:
                os.utime(descriptor, ns=(entry["modified_ms"] * 1_000_000,) * 2)
                os.fchmod(descriptor, entry["mode"] & 0o777)
        except (OSError, Refused):
            # Deleted in the meantime.
            continue


def _parse(line: bytes) -> dict[str, Any]:
    """The control plane has checked it; a second look costs little."""
    try:
        entry = json.loads(line)
        if entry["type"] in ("file", "directory"):
            valid = all(isinstance(entry[field], int) and entry[field] >= 0 for field in ("size", "mode", "modified_ms"))
        else:
            valid = entry["type"] in ("link", "hard") and isinstance(entry["target"], str)
        if valid and isinstance(entry["path"], str) and not entry["path"].startswith("/"):
            return entry
    except (ValueError, KeyError, TypeError):
        pass
    raise Refused("invalid_input", "An entry is not described as it should be.")


def _make_link(tree: Tree, names: list[str], target: str, depth: int) -> None:
    if not stays_inside(target, depth):
        raise Refused("invalid_input", f"{quote('/'.join(names))} is a link that leads out of the folder.")
    with tree.folder(names[:-1], make=True) as parent:
        try:
            if stat.S_ISLNK(os.stat(names[-1], dir_fd=parent, follow_symlinks=False).st_mode):
                os.unlink(names[-1], dir_fd=parent)
        except FileNotFoundError:
            pass
        os.symlink(target, names[-1], dir_fd=parent)


def _make_hard_link(tree: Tree, names: list[str], target: list[str]) -> None:
    passing = passing_name()
    with tree.folder(target[:-1]) as source, tree.folder(names[:-1], make=True) as parent:
        os.link(target[-1], passing, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        try:
            AtomicFile.check(tree, names, replace=True)
            os.rename(passing, names[-1], src_dir_fd=parent, dst_dir_fd=parent)
        finally:
            # Still there where both were the same file already.
            unlink_if_there(passing, parent)
