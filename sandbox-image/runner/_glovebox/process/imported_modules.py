"""What a program tells of the image's modules that it has imported, so that later ones find them loaded."""

import sys
from typing import Any

LEAST_MODULES = 40
"""Modules that make it worth while: numpy loads 84, pandas 410; yaml, tqdm or Pillow up to 35 in some 30 ms."""
MAX_NAMES = 1000
MAX_CHARACTERS = 64 * 1024
_DEPTH = 3
"""Parts of a name: `sklearn.linear_model`, `matplotlib.backends.backend_agg`. What is below comes with these."""


class ImportedModules:
    """Made before the code runs; what is loaded by then was found, not imported."""

    def __init__(self) -> None:
        self._known = set(sys.modules)

    def take(self) -> list[str]:
        """The image's modules imported since the last call, in the order of their imports, if they are many."""
        # As good as free for a program that has imported little.
        if len(sys.modules) - len(self._known) < LEAST_MODULES:
            return []
        new = {name: module for name, module in list(sys.modules.items()) if name not in self._known}
        self._known.update(new)
        sites = site_directories()
        of_image = [name for name, module in new.items() if isinstance(name, str) and _lies_in(module, sites)]
        return _worth_naming(of_image) if len(of_image) >= LEAST_MODULES else []


def site_directories() -> tuple[str, ...]:
    """The folders of the image's packages, each with a slash at its end."""
    return tuple(
        f"{path}/"
        for path in sys.path
        if path.endswith(("/site-packages", "/dist-packages")) and not path.startswith("/workspace/")
    )


def is_name(name: Any) -> bool:
    """Whether it is the dotted name of a module."""
    return isinstance(name, str) and len(name) <= 100 and all(part.isidentifier() for part in name.split("."))


def told_to_control_plane(found: list[str], imported: Any) -> list[str]:
    """The names of modules that an execution found loaded ahead, and those that it has imported. It may say anything."""
    named = imported if isinstance(imported, list) else []
    return list(dict.fromkeys([*found, *(name for name in named if is_name(name))]))[:MAX_NAMES]


def _lies_in(module: Any, directories: tuple[str, ...]) -> bool:
    try:
        return str(module.__file__).startswith(directories)
    except Exception:  # noqa: BLE001 - anything may stand among the modules
        return False


def _worth_naming(names: list[str]) -> list[str]:
    room = MAX_CHARACTERS
    named: list[str] = []
    for name in names:
        parts = name.split(".")
        if len(parts) > _DEPTH or any(part.startswith("_") for part in parts) or not is_name(name):
            continue
        room -= len(name)
        if room < 0 or len(named) == MAX_NAMES:
            break
        named.append(name)
    return named
