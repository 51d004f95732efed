"""Where the system's library for zstd is, which the standard library does not have before Python 3.14."""

import os
import sys

_FILE = "libzstd.so.1"
_FOLDERS = (f"/usr/lib/{getattr(sys.implementation, '_multiarch', '')}", "/usr/lib64", "/usr/lib")


def library() -> str | None:
    """The path of the library, if this image has it."""
    return next((path for folder in _FOLDERS if os.path.exists(path := f"{folder}/{_FILE}")), None)
