"""What the control plane does with a session's files, in a process of the session's own user.

See file_stream.py for the form of what is sent and answered.
"""

import os
import stat
import sys
from collections.abc import Callable
from typing import Any

from _glovebox.files import bundles, preconditions
from _glovebox.files.atomic_file import AtomicFile
from _glovebox.files.bundles import HIDDEN
from _glovebox.files.file_names import spell, unspell
from _glovebox.files.file_stream import CHUNK, Input, Refusing, answer, send
from _glovebox.files.file_tree import Refused, Tree, describe, folder_in, quote, split_path
from _glovebox.paths import WORKSPACE

MAX_ENTRIES = 1000
MAX_PATH_CHARACTERS = 256 * 1024
"""Characters of all paths of a listing together."""
MAX_SCANNED = 50_000


def main(request: dict[str, Any], root: str = WORKSPACE) -> None:
    """Does what is asked and answers on stdout. Ends with code 1 when that could not be done to the end."""
    tree = Tree(root)
    path = request.get("path", "")
    if isinstance(path, str):
        path = unspell(path)
    with Refusing(path):
        operation = OPERATIONS.get(request.get("op", ""))
        if operation is None:
            raise Refused("invalid_input", "There is no such operation.")
        operation(tree, split_path(path, root), request)


def show_status(tree: Tree, names: list[str], _request: dict[str, Any]) -> None:
    answer({"ok": True, "entry": _show("/".join(names), tree.status(names))})


def list_folder(tree: Tree, names: list[str], request: dict[str, Any]) -> None:
    """Entries of a folder, or with `recursive` of all below it, nearest first where they are too many."""
    limit = min(request.get("limit", MAX_ENTRIES), MAX_ENTRIES)
    recursive = bool(request.get("recursive"))
    status = tree.status(names)
    if not stat.S_ISDIR(status.st_mode):
        answer({"ok": True, "entries": [_show("/".join(names), status)], "truncated": False})
        return
    found: list[dict[str, Any]] = []
    room, scanned = MAX_PATH_CHARACTERS, 0
    folders = [names]
    for folder in folders:
        for entry in _entries(tree, folder, must_exist=folder is names, most=MAX_SCANNED - scanned):
            scanned += 1
            inside = [*folder, entry["path"]]
            entry["path"] = "/".join(inside)
            room -= len(entry["path"])
            if len(found) >= limit or room < 0 or scanned >= MAX_SCANNED:
                answer({"ok": True, "entries": _listing(found), "truncated": True})
                return
            if recursive and not folder and inside[0] in HIDDEN:
                continue
            found.append(entry)
            if recursive and entry["type"] == "directory":
                folders.append(inside)
    answer({"ok": True, "entries": _listing(found), "truncated": False})


def _listing(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**entry, "path": spell(entry["path"])} for entry in sorted(found, key=_by_path)]


def _show(path: str, status: os.stat_result) -> dict[str, Any]:
    return describe(spell(path), status)


def _by_path(entry: dict[str, Any]) -> str:
    return entry["path"]


def _entries(tree: Tree, folder: list[str], *, must_exist: bool, most: int) -> list[dict[str, Any]]:
    found = []
    try:
        with tree.folder(folder) as descriptor, os.scandir(descriptor) as entries:
            for _, entry in zip(range(most), entries):
                try:
                    found.append(describe(entry.name, entry.stat(follow_symlinks=False)))
                except FileNotFoundError:
                    # Deleted in this moment.
                    continue
    except (OSError, Refused):
        if must_exist:
            raise
    return sorted(found, key=_by_path)


def read_file(tree: Tree, names: list[str], request: dict[str, Any]) -> None:
    """A regular file or a range of it: `offset` and `length`, or the last `suffix` bytes.

    Nothing of it where `conditions` say so, and all of it where `if_range` names another.
    """
    descriptor = tree.open_file(names)
    status = os.fstat(descriptor)
    about = {"ok": True, "entry": _show("/".join(names), status), "tag": preconditions.tag_of(status)}
    stopped = preconditions.judge(request.get("conditions", {}), status)
    if stopped == "failed":
        raise preconditions.changed("/".join(names))
    if stopped == "not_modified":
        answer({**about, "offset": 0, "length": 0, "not_modified": True})
        return
    if "if_range" in request and not preconditions.keeps_range(request["if_range"], status):
        request = {"whole": True}
    size = status.st_size
    offset = max(0, size - request["suffix"]) if "suffix" in request else min(request.get("offset", 0), size)
    length = min(request.get("length", size), size - offset)
    answer({**about, "offset": offset, "length": length, "whole": request.get("whole", False)})
    if send_range(descriptor, offset, length) < length:
        # It has become shorter: less came than was announced.
        sys.exit(1)


def send_range(descriptor: int, offset: int, length: int) -> int:
    """Sends a part of a file. Returns how many bytes there were."""
    sent = 0
    while sent < length:
        data = os.pread(descriptor, min(CHUNK, length - sent), offset + sent)
        if not data:
            break
        send(data)
        sent += len(data)
    return sent


def write_file(tree: Tree, names: list[str], request: dict[str, Any]) -> None:
    """Puts what comes under its name once all of it has come; `mode` create refuses to replace a file."""
    replace = request.get("mode", "replace") == "replace"
    conditions = request.get("conditions")
    # Looked at first, because who sends much wants to know early.
    AtomicFile.check(tree, names, replace)
    preconditions.require(tree, names, conditions)
    with AtomicFile(tree) as file:
        for chunk in Input(0).pieces():
            file.write(chunk)
        if file.size != request.get("size", file.size):
            raise Refused("invalid_input", f"{request['size']} bytes were announced, and {file.size} came.")
        with preconditions.ChangeLock(tree):
            preconditions.require(tree, names, conditions)
            created = file.put(names, replace=replace)
        tag = preconditions.tag_of(file.status())
    answer({"ok": True, "size": file.size, "created": created, "tag": tag})


def delete(tree: Tree, names: list[str], request: dict[str, Any]) -> None:
    """A file, a link itself, an empty folder, or with `recursive` any folder but the workspace."""
    if not names:
        raise Refused("invalid_input", "The workspace itself cannot be deleted: name what is in it.")
    if not stat.S_ISDIR(tree.status(names).st_mode):
        with preconditions.ChangeLock(tree), tree.folder(names[:-1]) as parent:
            preconditions.require(tree, names, request.get("conditions"))
            os.unlink(names[-1], dir_fd=parent)
    elif request.get("conditions"):
        raise preconditions.changed("/".join(names))
    elif request.get("recursive"):
        _delete_folder(tree, names)
    else:
        with tree.folder(names[:-1]) as parent:
            os.rmdir(names[-1], dir_fd=parent)
    answer({"ok": True})


def _delete_folder(tree: Tree, names: list[str]) -> None:
    """Folders are moved up before they are emptied: a tree may be deeper than descriptors or the stack reach."""
    with tree.folder(names) as top:
        folders = _empty(top, top, 0)
        for folder in folders:
            with folder_in(top, folder) as descriptor:
                folders.extend(_empty(descriptor, top, len(folders)))
            os.rmdir(folder, dir_fd=top)
    with tree.folder(names[:-1]) as parent:
        os.rmdir(names[-1], dir_fd=parent)


def _empty(folder: int, top: int, moved: int) -> list[str]:
    """Deletes what is in a folder and moves the folders in it to `top`; their names there."""
    found = []
    with os.scandir(folder) as entries:
        inside = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in inside:
        if not is_folder:
            os.unlink(name, dir_fd=folder)
            continue
        found.append(f".glovebox-{os.getpid()}-{moved + len(found)}.deleted")
        os.rename(name, found[-1], src_dir_fd=folder, dst_dir_fd=top)
    return found


def pack(tree: Tree, names: list[str], request: dict[str, Any]) -> None:
    if not stat.S_ISDIR(tree.status(names).st_mode):
        raise Refused("invalid_input", f"{quote('/'.join(names))} is not a folder.")
    bundles.pack(tree, names, request["max_entries"], request["max_bytes"])


def unpack(tree: Tree, names: list[str], _request: dict[str, Any]) -> None:
    bundles.unpack(tree, names)


OPERATIONS: dict[str, Callable[[Tree, list[str], dict[str, Any]], None]] = {
    "stat": show_status,
    "list": list_folder,
    "read": read_file,
    "write": write_file,
    "delete": delete,
    "pack": pack,
    "unpack": unpack,
}
