"""Byte code of modules that have just been written is not kept.

The interpreter takes byte code for that of a module by the module's size and the second of its last change: what is
written anew within the same second may be taken for what it was before.
"""

import os
import time
from importlib.machinery import SourceFileLoader
from typing import Any

_SETTLED_S = 2
"""Seconds. A module so old differs from each later version in the second of its change."""


def keep_only_settled() -> None:
    """Applies from now on in this process, and in those that are forked from it."""
    keep = getattr(SourceFileLoader, "_cache_bytecode", None)
    if keep is None:
        return

    def keep_settled(loader: Any, source_path: str, bytecode_path: str, data: bytes) -> None:
        try:
            settled = time.time() - os.stat(source_path).st_mtime >= _SETTLED_S
        except OSError:
            return
        if settled:
            keep(loader, source_path, bytecode_path, data)

    setattr(SourceFileLoader, "_cache_bytecode", keep_settled)
