"""The environment variables of a program."""

import os

from _glovebox.paths import USER_BASE, USER_SITE, WORKSPACE

INHERITED = {name: value for name, value in os.environ.items() if name not in ("HOME", "HOSTNAME", "PWD")}
"""What the runner itself was started with."""
FOR_CHILDREN = ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")
"""Variables of every program that are meant for the interpreters which the code starts."""

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "wss_proxy", "no_proxy")
ACCESS = frozenset(("GLOVEBOX_TOOLS_TOKEN", *_PROXIES, *(name.upper() for name in _PROXIES)))
"""Variables by which code finds what it may use outside the sandbox. No module reads them when it is imported."""


def environment() -> dict[str, str]:
    uid = os.getuid()
    return {
        **INHERITED,
        "HOME": WORKSPACE,
        "USER": f"u{uid}",
        "LOGNAME": f"u{uid}",
        "PWD": WORKSPACE,
        # Commands of what install_dependencies installs, and of what pip does.
        "PATH": f"{USER_SITE}/bin:{USER_BASE}/bin:{INHERITED.get('PATH', os.defpath)}",
        # A Python that the code starts shows its output as it comes, like the code itself.
        "PYTHONUNBUFFERED": "1",
        # It would take byte code for that of a module that was rewritten within a second.
        "PYTHONDONTWRITEBYTECODE": "1",
    }
