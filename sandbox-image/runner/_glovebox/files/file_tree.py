"""The files below one folder, reached without ever following a symbolic link."""

import errno
import os
import stat
from typing import Any

from _glovebox import gvisor
from _glovebox.files.file_names import spell
from _glovebox.paths import ALIASES

LONGEST_PATH = 4096
LONGEST_NAME = 255
_LATEST_MS = 253_402_300_799_000
"""The end of the year 9999: a program may give a file any time, and not all have a date."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ENTRY = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
_CODES = {
    errno.ENOENT: ("file_not_found", "there is no such file or folder"),
    errno.ENOSPC: ("disk_full", "the disk of the session is full"),
    errno.EDQUOT: ("disk_full", "the disk of the session is full"),
    errno.EFBIG: ("disk_full", "it is larger than any file may be"),
    errno.ENOMEM: ("disk_full", "the memory that the files are kept in is full"),
    errno.ENOTEMPTY: ("not_empty", "the folder is not empty"),
    errno.ELOOP: ("invalid_input", "it is a symbolic link, which is not followed"),
    errno.ENXIO: ("invalid_input", "it is not a regular file"),
    errno.ENAMETOOLONG: ("invalid_input", "the name is too long"),
    errno.EISDIR: ("is_folder", "it is a folder"),
}


class Refused(Exception):
    """What cannot be done, with the code and the sentence that the control plane is told."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def refusal_of(error: OSError, path: str) -> Refused:
    code, reason = _CODES.get(error.errno or 0, ("invalid_input", (error.strerror or "it failed").lower()))
    return Refused(code, f"{quote(path) if path else 'The workspace'}: {reason}.")


def quote(path: str) -> str:
    text = spell(path[:200])
    shown = text if len(path) <= 200 else text + "…"
    return f'"{shown}"' if text.isprintable() else ascii(shown)


def split_path(path: Any, root: str) -> list[str]:
    """The names on the way from `root` to a path; none for `root` itself.

    The path is relative to it, or absolute below it or below another of its names.
    """
    if not isinstance(path, str) or "\0" in path:
        raise Refused("invalid_input", "A path is text without NUL characters.")
    try:
        raw = os.fsencode(path)
    except UnicodeEncodeError:
        raise Refused("invalid_input", "A path is valid Unicode.") from None
    if len(raw) > LONGEST_PATH:
        raise Refused("invalid_input", f"The path is longer than {LONGEST_PATH} bytes.")
    names = _split(path)
    if path.startswith("/"):
        tops = [_split(top) for top in (root, *ALIASES)]
        inside = next((names[len(top) :] for top in tops if names[: len(top)] == top), None)
        if inside is None:
            raise Refused("invalid_input", f"{quote(path)} is outside {root}: use a path relative to it.")
        names = inside
    for name in names:
        if name == "..":
            raise Refused("invalid_input", f'{quote(path)} has ".." in it: name the file by its path from {root}.')
        if len(os.fsencode(name)) > LONGEST_NAME:
            raise Refused("invalid_input", f"{quote(name)} is longer than the {LONGEST_NAME} bytes of a file name.")
    return names


def _split(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]


def stays_inside(target: str, depth: int) -> bool:
    """Returns whether a symbolic link `depth` folders below the top leads to somewhere below the top.

    Steps up count only at its beginning: after the name of another link they could lead anywhere.
    """
    steps = target.split("/")
    ups = 0
    while ups < len(steps) and steps[ups] == "..":
        ups += 1
    return bool(target) and not target.startswith("/") and ups <= depth and ".." not in steps[ups:]


def describe(path: str, status: os.stat_result) -> dict[str, Any]:
    kind = stat.S_IFMT(status.st_mode)
    return {
        "path": path or ".",
        "type": {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}.get(kind, "other"),
        "size": status.st_size if kind == stat.S_IFREG else 0,
        "modified_ms": max(0, min(status.st_mtime_ns // 1_000_000, _LATEST_MS)),
    }


class Folder:
    """A descriptor for as long as a `with` lasts.

    Not by contextlib: what is imported here must be loaded already, since the workspace may have modules of any name.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> int:
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def keep(self) -> int:
        """The descriptor, which the caller closes."""
        return self._descriptor


def folder_in(parent: int, name: str) -> Folder:
    return Folder(_open_folder(name, parent))


def open_file_in(parent: int, name: str) -> int:
    """A descriptor to read a regular file of a folder by; nothing else is opened, and nothing blocks."""
    descriptor = os.open(name, _ENTRY, dir_fd=parent)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EISDIR if stat.S_ISDIR(mode) else errno.ENXIO, "")


def _open_folder(name: str, parent: int) -> int:
    if not gvisor.PRESENT:
        return os.open(name, _FOLDER, dir_fd=parent)
    # With O_DIRECTORY, gVisor follows a link in spite of O_NOFOLLOW.
    descriptor = os.open(name, _ENTRY, dir_fd=parent)
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))


class Tree:
    """Walks by descriptors of folders, so that no link made in the meantime leads anywhere else."""

    def __init__(self, root: str) -> None:
        self.root = root

    def folder(self, names: list[str], *, make: bool = False) -> "Folder":
        """A descriptor of the folder, to be closed; missing ones on the way are made if so wanted."""
        descriptor = os.open(self.root, _FOLDER)
        for at in range(len(names)):
            try:
                below = self.step(names[: at + 1], descriptor, make=make)
            finally:
                os.close(descriptor)
            descriptor = below
        return Folder(descriptor)

    def step(self, names: list[str], parent: int, *, make: bool) -> int:
        """Opens the last folder on a way, in the one before it. The caller closes the descriptor."""
        try:
            return self._open(names[-1], parent, make)
        except OSError as error:
            raise self._blocked(error, "/".join(names), names[-1], parent) from None

    def status(self, names: list[str]) -> os.stat_result:
        """The status of the entry itself, also if that is a link."""
        if not names:
            return os.stat(self.root)
        with self.folder(names[:-1]) as parent:
            return os.stat(names[-1], dir_fd=parent, follow_symlinks=False)

    def find(self, names: list[str]) -> os.stat_result | None:
        """The status; None where there is nothing of that name, or no folder on the way to it."""
        try:
            return self.status(names)
        except FileNotFoundError:
            return None
        except Refused as refused:
            if refused.code == "file_not_found":
                return None
            raise

    def open_file(self, names: list[str]) -> int:
        """A descriptor to read a regular file by; nothing else is opened, and nothing blocks."""
        if not names:
            raise IsADirectoryError(errno.EISDIR, "")
        with self.folder(names[:-1]) as parent:
            return open_file_in(parent, names[-1])

    def open_closed_file(self, names: list[str]) -> int:
        """Opens a file as `open_file` does, even if nobody may read it: its owner may change that for a moment."""
        try:
            return self.open_file(names)
        except PermissionError:
            with self.folder(names[:-1]) as parent:
                mode = stat.S_IMODE(os.stat(names[-1], dir_fd=parent, follow_symlinks=False).st_mode)
                os.chmod(names[-1], mode | 0o400, dir_fd=parent)
                try:
                    return self.open_file(names)
                finally:
                    os.chmod(names[-1], mode, dir_fd=parent)

    @staticmethod
    def _open(name: str, parent: int, make: bool) -> int:
        try:
            return _open_folder(name, parent)
        except FileNotFoundError:
            if not make:
                raise
        try:
            os.mkdir(name, 0o755, dir_fd=parent)
        except FileExistsError:
            # Made by someone else in this moment.
            pass
        return _open_folder(name, parent)

    @staticmethod
    def _blocked(error: OSError, path: str, name: str, parent: int) -> Refused:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            return refusal_of(error, path)
        try:
            is_link = stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
        except OSError:
            is_link = False
        reason = "is a symbolic link, which is not followed" if is_link else "is not a folder"
        return Refused("invalid_input", f"{quote(path)} {reason}.")
