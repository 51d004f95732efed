"""Lists the distributions that an execution can import, read from their metadata on disk."""

import json
import os
import re
import sys
from collections.abc import Iterator

from _glovebox.paths import WORKSPACE

_HEADER_BYTES = 4096
"""Name and Version stand in the first lines of METADATA."""


def find_distributions() -> Iterator[tuple[str, str, str]]:
    """Yields (name, version, source) for each; the first on the path wins, as in an import."""
    seen: set[str] = set()
    for directory in sys.path:
        source = "session" if directory.startswith(WORKSPACE + "/") else "image"
        try:
            with os.scandir(directory) as entries:
                names = sorted(entry.name for entry in entries if entry.name.endswith((".dist-info", ".egg-info")))
        except OSError:
            continue
        for name in names:
            found = _read_metadata(os.path.join(directory, name))
            if found is None:
                continue
            key = re.sub(r"[-_.]+", "-", found[0]).lower()
            if key not in seen:
                seen.add(key)
                yield found[0], found[1], source


def _read_metadata(path: str) -> tuple[str, str] | None:
    for file_name in ("METADATA", "PKG-INFO", ""):
        try:
            with open(os.path.join(path, file_name) if file_name else path, "rb") as file:
                header = file.read(_HEADER_BYTES).decode("utf-8", "replace")
        except OSError:
            continue
        name = re.search(r"^Name:\s*(\S+)", header, re.MULTILINE)
        version = re.search(r"^Version:\s*(\S+)", header, re.MULTILINE)
        if name and version:
            return name[1], version[1]
    return None


def main() -> None:
    """Prints the JSON list of `{name, version, source}`, by name."""
    packages = [{"name": name, "version": version, "source": source} for name, version, source in find_distributions()]
    packages.sort(key=lambda package: package["name"].lower())
    json.dump(packages, sys.stdout)
