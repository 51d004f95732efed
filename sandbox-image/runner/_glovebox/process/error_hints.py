"""Which kind of advice helps with an uncaught exception. Imported only when there is one."""

import _ast
import linecache
import os
import re
import stat
import sys

_LONGEST_SOURCE = 256 * 1024
"""Characters of the longest source that is compiled again to find what is wrong with it."""
_MOST_LINES = 50
"""Lines of notebook syntax that are looked at: each costs a compilation."""
_NOTEBOOK = re.compile(
    r"""\s*(?:[\w.,\[\]\ ]+=\s*)?(?:%[a-z_]|!(?!=)\s*\S)  # magics and commands, also assigned
    |\s*\?{1,2}[\w.*%]+\s*$|\s*[\w.*%\[\]]+\?{1,2}\s*$    # questions
    |\s*pip3?\ install\s""",
    re.VERBOSE | re.IGNORECASE,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_MEANT = {"n": "\n", "r": "\r", "t": "\t"}


def advice_for(error: BaseException) -> str | None:
    """`notebook` for a script in the syntax of notebooks, `line_ends` for code with a backslash and an n for them,
    `stdin` for code that reads what it was not given, `stdin_end` if it reads more than it was given."""
    if isinstance(error, EOFError) and str(error) == "EOF when reading a line":
        return _about_input()
    if not isinstance(error, SyntaxError) or error.__traceback__ is not None or not error.filename:
        return None
    is_script = error.filename == getattr(sys.modules.get("__main__"), "__file__", None)
    if not is_script and not error.filename.startswith("<cell "):
        # Something that the code itself has compiled.
        return None
    lines = linecache.getlines(error.filename)
    if sum(map(len, lines)) > _LONGEST_SOURCE:
        return None
    if "line continuation character" in str(error.msg) and _lacks_line_ends("".join(lines)):
        return "line_ends"
    return "notebook" if is_script and type(error) is SyntaxError and _is_cell(error, lines) else None


def _about_input() -> str | None:
    try:
        return "stdin" if stat.S_ISCHR(os.fstat(0).st_mode) else "stdin_end"
    except OSError:
        # Closed by the code itself.
        return None


def _lacks_line_ends(source: str) -> bool:
    """Returns whether the source would compile if each backslash with an n in it were a line end."""
    whole = _ESCAPED.sub(lambda match: _MEANT.get(match[1], match[1]), source)
    return any(_error_in(text) is None for text in (source.replace("\\n", "\n"), whole))


def _is_cell(error: SyntaxError, lines: list[str]) -> bool:
    """Returns whether the source would compile without the lines and awaits that only notebooks have."""
    first = next((line for line in lines if line.strip()), "")
    if first.startswith("%%"):
        return error.lineno == lines.index(first) + 1
    remaining = list(lines)
    # Line by line as the compiler finds them: in a string or in parentheses the same text is no command.
    for _ in range(_MOST_LINES):
        found = _error_in("".join(remaining))
        if found is None:
            return True
        at = (found.lineno or 0) - 1
        if not 0 <= at < len(remaining) or not _NOTEBOOK.match(remaining[at]):
            return False
        remaining[at] = f"{remaining[at][: -len(remaining[at].lstrip())]}pass\n"
    return False


def _error_in(source: str) -> SyntaxError | None:
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, "", "exec", _ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except SyntaxError as error:
        return error
    except Exception:  # noqa: BLE001 - whatever else the compiler has against it
        return SyntaxError()
    return None
