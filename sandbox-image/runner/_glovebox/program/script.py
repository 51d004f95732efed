"""Runs source as a script, and hands over the value of a last statement that is an expression."""

import __future__

import _ast
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any

from _glovebox.process.hidden_frames import hide_frame

MAX_TREE = 256 * 1024
"""Characters of the longest source whose syntax tree is made: it takes a hundred times their size."""
_FUTURE_FLAGS = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)


@hide_frame
def run_script(source: str, path: str, show: Callable[..., None]) -> None:
    """Runs it in `__main__`; calls `show(value, last=True)` if it ends in an expression whose value is not None."""
    names = sys.modules["__main__"].__dict__
    *bodies, last = _compile(source, path) if len(source) <= MAX_TREE else _compile_long(source, path)
    for body in bodies:
        exec(body, names)
    if last:
        value = eval(last, names)
        if value is not None:
            show(value, last=True)


def _compile(source: str, path: str) -> tuple[CodeType | None, ...]:
    """Returns the code to run and, if it ends in an expression whose value is shown, that expression."""
    tree = _parse(source, path)
    last = tree.body[-1] if tree.body else None
    # As in a notebook, a semicolon says that the value is of no interest.
    if not isinstance(last, _ast.Expr) or source.rstrip().endswith(";"):
        return compile(tree, path, "exec", dont_inherit=True), None
    tree.body.pop()
    body = compile(tree, path, "exec", dont_inherit=True)
    flags = body.co_flags & _FUTURE_FLAGS
    return body, compile(_ast.Expression(last.value), path, "eval", flags, dont_inherit=True)


def _compile_long(source: str, path: str) -> tuple[CodeType | None, ...]:
    """Compiles as `_compile` does, without a syntax tree of the whole: the text is cut before its last line."""
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    line, statement = _last_line(source)
    try:
        if len(source) - line <= MAX_TREE:
            last = _compile(_on_its_line(source, line), path)
            return compile(source[:line], path, "exec", dont_inherit=True), *last
        if not source.rstrip().endswith(";"):
            value = compile(_on_its_line(source, statement), path, "eval", dont_inherit=True)
            return compile(source[:statement], path, "exec", dont_inherit=True), value
    except SyntaxError:
        # The last statement is no expression; or the whole is in error, and tells that itself.
        pass
    try:
        return compile(source, path, "exec", dont_inherit=True), None
    except IndentationError as error:
        return _retry_dedented(source, path, error, _compile_long)


def _on_its_line(source: str, start: int) -> str:
    return "\n" * source.count("\n", 0, start) + source[start:].lstrip(" \t")


def _last_line(source: str) -> tuple[int, int]:
    """Returns where the last line begins that is not indented, in a string or in parentheses, and its last statement.

    Where this is mistaken, over strings of a strange form, one of the parts does not compile.
    """
    import re

    token = re.compile(
        r"""\#[^\n]*|\\\n
        |\"{3}(?:[^"\\]++|\\[\s\S]|"(?!""))*+\"{3}|'{3}(?:[^'\\]++|\\[\s\S]|'(?!''))*+'{3}
        |"(?:[^"\\\n]++|\\[\s\S])*+"|'(?:[^'\\\n]++|\\[\s\S])*+'
        |[(\[{]|[)\]}]|\n(?=[^\s\#])|;(?=[^\n]*[^\s;\#])""",
        re.VERBOSE,
    )
    compound = re.compile(r"@|(?:async|if|elif|else|for|while|with|def|class|try|except|finally|match|case)\b")
    line = statement = depth = 0
    for match in token.finditer(source):
        first = source[match.start()]
        if first in "([{":
            depth += 1
        elif first in ")]}":
            depth -= 1
        elif first == "\n" and depth <= 0:
            line = statement = match.end()
        elif first == ";" and depth <= 0 and not compound.match(source, line):
            statement = match.end()
    return line, statement


def _parse(source: str, path: str) -> Any:
    """The syntax tree; also of source that is indented as a whole, as it is when it comes from a program's literal."""
    try:
        return compile(source, path, "exec", _ast.PyCF_ONLY_AST, dont_inherit=True)
    except IndentationError as error:
        return _retry_dedented(source, path, error, _parse)


def _retry_dedented(source: str, path: str, error: IndentationError, again: Callable[[str, str], Any]) -> Any:
    import textwrap

    dedented = textwrap.dedent(source)
    if dedented == source:
        raise error
    try:
        return again(dedented, path)
    except SyntaxError:
        raise error from None
