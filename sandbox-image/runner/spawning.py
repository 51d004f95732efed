"""Processes that a context spawns: they begin as an interpreter of their own and know of the cells what defines names.

Without that a worker cannot find the function that it is to call, and ends; a pool starts the next one, without end.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

_FACTORIES = {"Enum", "IntEnum", "NamedTuple", "NewType", "TypeVar", "TypedDict", "make_dataclass", "namedtuple"}
"""Calls whose value is a definition."""
_PROGRAM = '''\
"""What the cells of a context define, for a process that it spawns."""


def _define(sources):
    for source in sources:
        try:
            exec(compile(source, "<cell>", "exec", dont_inherit=True), globals())
        except Exception:
            pass  # It needs what only the context has; so may nothing that runs here.


_define({sources!r})
del _define


class _Unknown(type):
    def __call__(self, *_, **__):
        raise NameError(
            f"{{self.__name__}} is not known in a process that was spawned: of a context's cells such a process has the"
            " imports, functions, classes and literals; define it so, put it into a module, or use a pool of threads"
        )


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    members = {{"__new__": lambda cls, *_, **__: object.__new__(cls), "__setstate__": lambda self, state: None}}
    return _Unknown(name, (), members)
'''


def make_known(cells: Callable[[], Iterable[str]]) -> Callable[[Any], None]:
    """A patch of `multiprocessing.spawn`: from then on spawned processes begin with what these cells define."""

    def patch(spawn: Any) -> None:
        original = spawn.get_preparation_data

        def get_preparation_data(name: str) -> Any:
            data = original(name)
            if "init_main_from_path" not in data and "init_main_from_name" not in data:
                try:
                    data["init_main_from_path"] = _write(cells())
                except OSError:
                    # No room in /tmp: it begins without.
                    pass
            return data

        spawn.get_preparation_data = get_preparation_data

    return patch


def _write(cells: Iterable[str]) -> str:
    directory = f"/tmp/execution-{os.getpid()}"
    os.makedirs(directory, 0o700, exist_ok=True)
    path = f"{directory}/cells.py"
    text = _PROGRAM.format(sources=list(_definitions(cells)))
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        file.write(text)
    # At once: processes that were spawned before may be reading it.
    os.replace(f"{path}.new", path)
    return path


def _definitions(cells: Iterable[str]) -> Iterator[str]:
    import ast

    future = ""
    for cell in cells:
        try:
            statements = ast.parse(cell).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for statement in statements:
            if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
                future += f"{ast.unparse(statement)}\n"
            elif _defines(statement, ast):
                yield future + ast.unparse(statement)


def _defines(statement: Any, ast: Any) -> bool:
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
        return statement.value is not None and _is_constant(statement.value, ast)
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return isinstance(statement, (*kinds, getattr(ast, "TypeAlias", kinds)))


def _is_constant(value: Any, ast: Any) -> bool:
    if isinstance(value, ast.Call):
        name = getattr(value.func, "attr", getattr(value.func, "id", ""))
        return name in _FACTORIES
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return False
    return True
