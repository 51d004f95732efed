"""A file that is being sent to a session, and appears there only when it is whole."""

import errno
import os
import stat

from _glovebox.files.file_stream import write_sparse
from _glovebox.files.file_tree import Refused, Tree, quote, refusal_of

_UNSUPPORTED = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)


class AtomicFile:
    """A file without a name, which is gone with this process if it never gets one."""

    def __init__(self, tree: Tree, *, sparse: bool = False) -> None:
        """`sparse` leaves holes where there is nothing but zeros."""
        self.size = 0
        self._sparse = sparse
        self._tree = tree
        self._name: str | None = None
        """The name of the file where the file system knows none without names."""
        try:
            self._descriptor = os.open(tree.root, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            self._name = f"{tree.root}/{passing_name()}"
            self._descriptor = os.open(self._name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> "AtomicFile":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
        if self._name:
            os.unlink(self._name)

    @staticmethod
    def check(tree: Tree, names: list[str], replace: bool) -> int | None:
        """Refuses a place where no file can be put. The permissions of the file that is there, if one is."""
        if not names:
            raise Refused("invalid_input", "A file needs a name: a path of the workspace itself is not one.")
        path = "/".join(names)
        status = tree.find(names)
        if status is None:
            return None
        mode = status.st_mode
        if stat.S_ISLNK(mode):
            raise refusal_of(OSError(errno.ELOOP, ""), path)
        if not stat.S_ISREG(mode):
            raise Refused("invalid_input", f"{quote(path)} is there and not a regular file.")
        if not replace:
            raise Refused("file_exists", f"{quote(path)} exists already.")
        return stat.S_IMODE(mode) & 0o777

    def status(self) -> os.stat_result:
        """Returns the state of the file; the name that it has meanwhile is removed."""
        if self._name:
            os.unlink(self._name)
            self._name = None
        return os.fstat(self._descriptor)

    def write(self, data: bytes | memoryview) -> None:
        remaining = memoryview(data)
        if self._sparse:
            write_sparse(self._descriptor, remaining)
        else:
            while remaining:
                remaining = remaining[os.write(self._descriptor, remaining) :]
        self.size += len(data)

    def put(self, names: list[str], *, replace: bool, mode: int | None = None, modified_ms: int | None = None) -> bool:
        """Gives it its name, in folders made for it; whether there was no such file before."""
        former = self.check(self._tree, names, replace)
        if self._sparse:
            os.ftruncate(self._descriptor, self.size)
        os.fchmod(self._descriptor, mode if mode is not None else former if former is not None else 0o644)
        if modified_ms is not None:
            os.utime(self._descriptor, ns=(modified_ms * 1_000_000,) * 2)
        source = self._name or f"/proc/self/fd/{self._descriptor}"
        with self._tree.folder(names[:-1], make=True) as parent:
            if former is None:
                try:
                    os.link(source, names[-1], dst_dir_fd=parent, follow_symlinks=True)
                    return True
                except FileExistsError:
                    if not replace:
                        raise
            # A link replaces nothing: it takes another name first, and then that of the file at once.
            passing = passing_name()
            os.link(source, passing, dst_dir_fd=parent, follow_symlinks=True)
            try:
                os.rename(passing, names[-1], src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                os.unlink(passing, dir_fd=parent)
                raise
        return False


def passing_name() -> str:
    return f".glovebox-{os.getpid()}-{os.urandom(6).hex()}.part"


def unlink_if_there(name: str, parent: int) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        pass
