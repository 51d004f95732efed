"""Hides functions of the runner that are on the stack of every program."""

from collections.abc import Callable
from typing import TypeVar

HIDDEN_FILE = "<importlib._bootstrap_start>"
"""The file that their frames name: `warnings` leaves out frames whose file is called so."""

_Function = TypeVar("_Function", bound=Callable[..., object])


def hide_frame(function: _Function) -> _Function:
    """Decorates a function so that its frames show no path of the runner."""
    code = getattr(function, "__code__")
    setattr(function, "__code__", code.replace(co_filename=HIDDEN_FILE))
    return function
