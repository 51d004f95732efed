"""The commands that pip has made, which it keeps outside of the folder of packages."""

import os
import re
from collections.abc import Container

from _glovebox.packages.module_names import key
from _glovebox.paths import USER_BASE, USER_SITE

_IN_RECORD = re.compile(r"^(?:\.\./)+bin/([^/,]+),", re.M)


def commands_of_pip(packages: Container[str]) -> list[str]:
    """Files that the session's packages of these names list as theirs: stale once another version takes their place."""
    found = []
    for folder in os.listdir(USER_SITE) if os.path.isdir(USER_SITE) else ():
        name, _, rest = folder.partition("-")
        if not rest.endswith(".dist-info") or key(name) not in packages:
            continue
        try:
            with open(f"{USER_SITE}/{folder}/RECORD", encoding="utf-8", errors="replace") as record:
                paths = [f"{USER_BASE}/bin/{command}" for command in _IN_RECORD.findall(record.read())]
        except OSError:
            continue
        found += [path for path in paths if os.path.lexists(path)]
    return found
