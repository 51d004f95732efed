"""Processes that code spawns: they begin as an interpreter of their own and know what the code's definitions name.

Of a context they would know nothing: a worker that cannot find the function that it is to call ends, and a pool starts
the next one, without end. A script without a guard for `__main__` they would run as a whole, and start workers again.
From Python 3.14 on, the start method that is used unless another is named (`forkserver`) makes such processes: where that
cannot be meant, it is `fork` as before.
"""

import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

PREFIX = "definitions-"
"""What the names of the files begin with that such processes read."""
_FACTORIES = {"Enum", "IntEnum", "NamedTuple", "NewType", "TypeVar", "TypedDict", "make_dataclass", "namedtuple"}
"""Calls whose value is a definition."""
_PROGRAM = '''\
"""What code defines, for a process that it spawns."""


def _define(sources):
    for source in sources:
        try:
            exec(compile(source, "<definitions>", "exec", dont_inherit=True), globals())
        except Exception:
            pass  # It needs what only the context has; so may nothing that runs here.


_define({sources!r})
del _define


class _Unknown(type):
    def __call__(self, *_, **__):
        raise NameError(
            f"{{self.__name__}} is not known in a process that was spawned: of this code such a process has the imports,"
            " functions, classes and literals; define it so, put it into a module, or use a pool of threads"
        )


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    members = {{"__new__": lambda cls, *_, **__: object.__new__(cls), "__setstate__": lambda self, state: None}}
    return _Unknown(name, (), members)
'''


def needs_no_guard(source: str) -> bool:
    """Returns whether a script may rely on forking: nothing in it tells a spawned process from the script."""
    return "__main__" not in source and "parent_process" not in source


def prefer_fork(context: Any) -> None:
    """A patch of `multiprocessing.context`: what names no start method forks; a method that is set later counts."""
    context._default_context._default_context = context._concrete_contexts["fork"]


def share_definitions(cells: Callable[[], Iterable[str]], instead: bool = False) -> Callable[[Any], None]:
    """A patch of `multiprocessing.spawn`: from then on spawned processes begin with what these cells define.

    `instead` of the file of `__main__`, which they would run otherwise.
    """

    def patch(spawn: Any) -> None:
        original = spawn.get_preparation_data

        def get_preparation_data(name: str) -> Any:
            data = original(name)
            if instead or ("init_main_from_path" not in data and "init_main_from_name" not in data):
                try:
                    data["init_main_from_path"] = _write(cells())
                except OSError:
                    # No room in /tmp: it begins without.
                    pass
            return data

        spawn.get_preparation_data = get_preparation_data

    return patch


def _write(cells: Iterable[str]) -> str:
    text = _PROGRAM.format(sources=list(_definitions(cells)))
    directory = f"/tmp/execution-{os.getpid()}"
    # Named by what it holds: a server of forks keeps what it has once read by this name.
    path = f"{directory}/{PREFIX}{zlib.crc32(text.encode()):08x}.py"
    if os.path.exists(path):
        return path
    os.makedirs(directory, 0o700, exist_ok=True)
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        file.write(text)
    # At once: another thread may be starting processes, too.
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
