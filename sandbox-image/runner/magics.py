"""The magics that a session's context answers in its own way, and the packages that it finds."""

import importlib
import os
import shlex
import site
import sys
from typing import Any

from paths import USER_BASE, USER_SITE

_seen = 0


def add_session_packages() -> None:
    """Lets imports find what was installed meanwhile, by a cell or beside it."""
    global _seen
    try:
        changed = os.stat(USER_SITE).st_mtime_ns
    except OSError:
        return
    if changed == _seen and USER_SITE in sys.path:
        return
    _seen = changed
    site.ENABLE_USER_SITE, site.USER_BASE, site.USER_SITE = True, USER_BASE, USER_SITE
    before = list(sys.path)
    site.addsitedir(USER_SITE)
    added = [path for path in sys.path if path not in before]
    sys.path[:] = [*before[:1], *added, *before[1:]]
    importlib.invalidate_caches()


def add_magics(shell: Any) -> None:
    """Puts the sandbox's own magics in the place of IPython's."""

    def pip(line: str) -> None:
        """Installs packages for this session: %pip install NAMES. They can be imported at once."""
        _install(shell, "pip", line)

    def uv(line: str) -> None:
        """Runs uv: %uv pip install NAMES. Packages can be imported at once."""
        _install(shell, "uv", line)

    def matplotlib(line: str) -> None:
        """Nothing to choose: figures are results without it."""

    for magic in (pip, uv, matplotlib):
        shell.register_magic_function(magic, "line", magic.__name__)


def _install(shell: Any, program: str, line: str) -> None:
    loaded = {name for name in sys.modules if "." not in name}
    before = _installed()
    shell.system(f"{shlex.quote(sys.executable)} -m {program} {line}")
    importlib.invalidate_caches()
    add_session_packages()
    stale = sorted(loaded & _modules_of(_installed() - before))
    if stale:
        print(f"Note: {', '.join(stale)} was imported before; a reset context imports the new version.")


def _installed() -> set[str]:
    """The folders that name the session's packages and their versions."""
    try:
        return {name for name in os.listdir(USER_SITE) if name.endswith(".dist-info")}
    except OSError:
        return set()


def _modules_of(folders: set[str]) -> set[str]:
    """The modules that these packages hold, by the files that they list."""
    modules = set()
    for folder in folders:
        try:
            with open(f"{USER_SITE}/{folder}/RECORD", encoding="utf-8") as record:
                modules |= {line.split("/")[0].split(",")[0].removesuffix(".py") for line in record}
        except OSError:
            continue
    return modules
