"""The folders whose contents a session keeps, its workspace and /tmp, and the paths of what is in them."""

import os
import stat

from _glovebox.files.file_names import LeftOut
from _glovebox.files.file_tree import Tree, split_path
from _glovebox.paths import OWN_IN_TMP


class Place:
    """A folder whose contents are kept, and what their paths in the archive begin with."""

    def __init__(self, root: str, prefix: str = "") -> None:
        self.tree = Tree(root)
        self.prefix = prefix
        self._head = ""
        self._head_names: list[str] = []
        """The folder of the last path, and the names on the way to it: most entries follow one of the same folder."""
        self._open: tuple[list[str], int] | None = None
        """The folder that the last entry was put into, by its names, and its descriptor."""

    def holds(self, path: str) -> bool:
        return path.startswith(self.prefix)

    def path(self, names: list[str]) -> str:
        return self.prefix + "/".join(names)

    def names(self, path: str) -> list[str]:
        head, slash, name = path[len(self.prefix) :].rpartition("/")
        if head + slash != self._head:
            self._head_names, self._head = split_path(head + slash, self.tree.root), head + slash
        return [*self._head_names, *split_path(name, self.tree.root)]

    def parent(self, names: list[str]) -> int:
        """A descriptor of the folder that an entry is put into, made if it is not there; valid until the next call."""
        folder = names[:-1]
        if not self._open or self._open[0] != folder:
            self.close()
            self._open = (folder, self.tree.folder(folder, make=True).keep())
        return self._open[1]

    def close(self) -> None:
        if self._open:
            os.close(self._open[1])
            self._open = None

    def leave_out(self, names: list[str], left_out: LeftOut) -> None:
        """Takes note of what is not kept of the workspace; /tmp is for passing things."""
        if not self.prefix:
            left_out.add(self.path(names))

    def is_own(self, names: list[str], kind: int) -> bool:
        return bool(self.prefix) and len(names) == 1 and kind == stat.S_IFDIR and bool(OWN_IN_TMP.fullmatch(names[0]))
