"""Libraries that are patched when the code imports them."""

import sys
import types
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

Patch = Callable[[Any], None]


def replace_function(module: Any, name: str, replacement: Callable[..., Any]) -> Callable[..., Any]:
    """Puts a function in the place of a module's; the original, to be called.

    Other modules may have copied the function by now (`from module import name`, in a process that this one was forked
    from): so the function itself stays, and its code becomes a call of the replacement.
    """
    function = getattr(module, name)
    if not isinstance(function, types.FunctionType) or function.__closure__:
        setattr(module, name, replacement)
        return function
    original = types.FunctionType(function.__code__, function.__globals__, name, function.__defaults__)
    original.__kwdefaults__ = function.__kwdefaults__
    hidden = f"_glovebox_{name}"
    function.__globals__[hidden] = replacement
    call = f"def {name}(*arguments, **options): return {hidden}(*arguments, **options)"
    names: dict[str, Any] = {}
    exec(compile(call, __file__, "exec"), names)
    function.__code__ = names[name].__code__
    function.__defaults__ = function.__kwdefaults__ = None
    # For `inspect.signature`.
    function.__wrapped__ = original
    return original


def patch_on_import(patches: dict[str, Patch]) -> None:
    """Patches these modules now, if they are imported, or as soon as they are."""
    for name, patch in patches.items():
        if module := sys.modules.get(name):
            patch(module)
    sys.meta_path.insert(0, _PatchFinder(patches))


class _PatchFinder:
    """Finds modules as the interpreter does, and patches some once they have run."""

    def __init__(self, patches: dict[str, Patch]) -> None:
        self._patches = patches

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        patch = self._patches.get(name)
        spec = patch and PathFinder.find_spec(name, path, target)
        loader: Any = spec and spec.loader
        if not patch or not spec or not loader:
            return None
        run = loader.exec_module

        def run_and_patch(module: types.ModuleType) -> None:
            run(module)
            try:
                patch(module)
            except Exception:  # noqa: BLE001 - another version of the library: it shows as it ever did
                pass

        # On this loader alone: a loader of another class would lack what the library may ask of it.
        loader.exec_module = run_and_patch
        return spec
