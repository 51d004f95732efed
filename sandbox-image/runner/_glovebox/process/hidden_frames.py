"""Functions of the runner that are on the stack of every program, and none of its own."""

from collections.abc import Callable
from typing import TypeVar

FILE = "<importlib._bootstrap_start>"
"""What stacks say in the place of a path: `warnings` leaves out frames whose file is named like this."""

_Function = TypeVar("_Function", bound=Callable[..., object])


def unseen(function: _Function) -> _Function:
    """As a decorator: leaves no path of the runner on the stack."""
    code = getattr(function, "__code__")
    setattr(function, "__code__", code.replace(co_filename=FILE))
    return function
