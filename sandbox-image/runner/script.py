"""Runs source as a script, and hands over the value of a last statement that is an expression."""

import __future__

import sys
from collections.abc import Callable
from types import CodeType
from typing import Any

import _ast

MAX_BYTES = 256 * 1024
"""Longer source runs as it is: its syntax tree takes a hundred times its size."""
_FUTURE_FLAGS = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)


def run_script(source: bytes, path: str, show: Callable[..., None]) -> None:
    """Runs it in `__main__`; calls `show(value, last=True)` if it ends in an expression whose value is not None."""
    names = sys.modules["__main__"].__dict__
    body, last = _compile(source, path)
    exec(body, names)
    if last:
        value = eval(last, names)
        if value is not None:
            show(value, last=True)


def _compile(source: bytes, path: str) -> tuple[CodeType, CodeType | None]:
    if len(source) > MAX_BYTES:
        return compile(source, path, "exec", dont_inherit=True), None
    tree = _parse(source, path)
    last = tree.body[-1] if tree.body else None
    # As in a notebook, a semicolon says that the value is of no interest.
    if not isinstance(last, _ast.Expr) or source.rstrip().endswith(b";"):
        return compile(tree, path, "exec", dont_inherit=True), None
    tree.body.pop()
    body = compile(tree, path, "exec", dont_inherit=True)
    flags = body.co_flags & _FUTURE_FLAGS
    return body, compile(_ast.Expression(last.value), path, "eval", flags, dont_inherit=True)


def _parse(source: bytes, path: str) -> Any:
    """The syntax tree; also of source that is indented as a whole, as it is when it comes from a program's literal."""
    try:
        return compile(source, path, "exec", _ast.PyCF_ONLY_AST, dont_inherit=True)
    except IndentationError as error:
        indented = _dedent(source)
        if indented == source:
            raise
        try:
            return compile(indented, path, "exec", _ast.PyCF_ONLY_AST, dont_inherit=True)
        except SyntaxError:
            raise error from None


def _dedent(source: bytes) -> bytes:
    import textwrap

    return textwrap.dedent(source.decode()).encode()
