"""The folders whose contents a session keeps, its workspace and /tmp, and the paths of what is in them."""

import os
import stat

from _glovebox.files.file_names import LeftOut
from _glovebox.files.file_tree import LONGEST_NAME, LONGEST_PATH, Tree, open_file_in, split_path
from _glovebox.paths import OWN_IN_TMP

_DEEPEST = 32
"""Folders on the way to an entry that stay open, at most: a process has few descriptors."""


class Place:
    """A folder whose contents are kept, and what their paths in the archive begin with."""

    def __init__(self, root: str, prefix: str = "") -> None:
        self.tree = Tree(root)
        self.prefix = prefix
        self._head = ""
        self._head_names: list[str] = []
        """The folder of the last path, and the names on the way to it: most entries follow one of the same folder."""
        self._open: list[tuple[str, int]] = []
        """The way to the folder that the last entry was put into: the names, and a descriptor of each."""

    def holds(self, path: str) -> bool:
        return path.startswith(self.prefix)

    def path(self, names: list[str]) -> str:
        return self.prefix + "/".join(names)

    def names(self, path: str) -> list[str]:
        head, slash, name = path[len(self.prefix) :].rpartition("/")
        if head + slash != self._head:
            self._head_names, self._head = split_path(head + slash, self.tree.root), head + slash
        plain = name.isascii() and "\0" not in name and name not in ("", ".", "..")
        if plain and len(name) <= LONGEST_NAME and len(path) <= LONGEST_PATH:
            return [*self._head_names, name]
        return [*self._head_names, *split_path(name, self.tree.root)]

    def parent(self, names: list[str], *, make: bool = True) -> int:
        """A descriptor of the folder that an entry is in, made if it is not there; valid until the next call."""
        folder = names[:-1]
        if len(folder) > _DEEPEST:
            self.close()
            self._open = [("", self.tree.folder(folder, make=make).keep())]
            return self._open[0][1]
        return self._walk(folder, make)

    def open_closed_file(self, names: list[str]) -> int:
        """Opens a file as `Tree.open_closed_file` does."""
        try:
            return open_file_in(self.parent(names, make=False), names[-1])
        except PermissionError:
            return self.tree.open_closed_file(names)

    def _walk(self, folder: list[str], make: bool) -> int:
        """Opens a folder from the last one that both have on their way."""
        if not self._open or self._open[0][0] != self.tree.root:
            self.close()
            self._open = [(self.tree.root, self.tree.folder([]).keep())]
        same = 0
        while same < min(len(folder), len(self._open) - 1) and folder[same] == self._open[same + 1][0]:
            same += 1
        self._close_below(same + 1)
        for at in range(same, len(folder)):
            below = self.tree.step(folder[: at + 1], self._open[-1][1], make=make)
            self._open.append((folder[at], below))
        return self._open[-1][1]

    def close(self) -> None:
        self._close_below(0)

    def _close_below(self, depth: int) -> None:
        while len(self._open) > depth:
            os.close(self._open.pop()[1])

    def leave_out(self, names: list[str], left_out: LeftOut) -> None:
        """Takes note of what is not kept of the workspace; /tmp is for passing things."""
        if not self.prefix:
            left_out.add(self.path(names))

    def is_own(self, names: list[str], kind: int) -> bool:
        return bool(self.prefix) and len(names) == 1 and kind == stat.S_IFDIR and bool(OWN_IN_TMP.fullmatch(names[0]))
