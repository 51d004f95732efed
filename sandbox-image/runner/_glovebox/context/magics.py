"""Commands and magics that a context answers in its own way, and the session's packages."""

import contextlib
import importlib
import os
import shlex
import signal
import sys
from typing import Any

from _glovebox.paths import USER_SITE
from _glovebox.process import session_packages

INTERRUPT_GRACE_S = 0.2
"""Seconds for a command to end by itself when its cell is interrupted: less than the cell itself is given."""

_seen = 0


def add_session_packages() -> None:
    """Lets imports find what was installed since, by a cell or beside it."""
    global _seen
    try:
        changed = os.stat(USER_SITE).st_mtime_ns
    except OSError:
        return
    if changed == _seen and USER_SITE in sys.path:
        return
    _seen = changed
    session_packages.put_first()
    importlib.invalidate_caches()


def add_magics(shell: Any) -> None:
    """Puts the sandbox's own magics in the place of IPython's."""

    def pip(line: str) -> None:
        """Installs packages for this session: %pip install NAMES. They can be imported at once."""
        _install(shell, "pip", line)

    def uv(line: str) -> None:
        """Runs uv: %uv pip install NAMES. Packages can be imported at once."""
        _install(shell, "uv", _with_target(line))

    def matplotlib(line: str) -> None:
        """Nothing to choose: figures are results without it."""

    def bash(line: str, cell: str) -> None:
        """Runs the cell in bash."""
        _run_script(shell, "bash", line, cell)

    def sh(line: str, cell: str) -> None:
        """Runs the cell in sh."""
        _run_script(shell, "sh", line, cell)

    for magic in (pip, uv, matplotlib):
        shell.register_magic_function(magic, "line", magic.__name__)
    for magic in (bash, sh):
        shell.register_magic_function(magic, "cell", magic.__name__)


def _run_script(shell: Any, program: str, line: str, cell: str) -> None:
    """IPython's own way leaves a thread, with which code that forks afterwards is warned of deadlocks."""
    if line.strip():
        shell.run_cell_magic("script", f"{program} {line}", cell)
        return
    code = run_command([program], cell)
    if code:
        from subprocess import CalledProcessError

        raise CalledProcessError(code, program)


def _install(shell: Any, program: str, line: str) -> None:
    loaded = {name for name in sys.modules if "." not in name}
    before = _installed()
    shell.system(f"{shlex.quote(sys.executable)} -m {program} {line}")
    importlib.invalidate_caches()
    add_session_packages()
    stale = sorted(loaded & _modules_of(_installed() - before))
    if stale:
        print(f"Note: {', '.join(stale)} was imported before; a reset context imports the new version.")


def _with_target(line: str) -> str:
    """The line with pip's folder as its target: uv knows no user's folder, and the interpreter's own is read-only."""
    words = line.split()
    named = any(word.startswith(("-t", "--target", "--prefix", "-p", "--python")) for word in words)
    return (
        f"pip install --target {USER_SITE} {' '.join(words[2:])}" if words[:2] == ["pip", "install"] and not named else line
    )


def _installed() -> set[str]:
    """The folders that name the session's packages and their versions."""
    try:
        return {name for name in os.listdir(USER_SITE) if name.endswith(".dist-info")}
    except OSError:
        return set()


def _modules_of(folders: set[str]) -> set[str]:
    """The modules that these packages hold, by the files that they list."""
    modules = set()
    for folder in folders:
        try:
            with open(f"{USER_SITE}/{folder}/RECORD", encoding="utf-8") as record:
                modules |= {line.split("/")[0].split(",")[0].removesuffix(".py") for line in record}
        except OSError:
            continue
    return modules


def run_command(command: str | list[str], stdin: str | None = None) -> int:
    """Runs a command in the user's shell, with the context's own descriptors; its code, of a signal the negative."""
    import subprocess

    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    options: dict[str, Any] = {"process_group": 0}
    if isinstance(command, str):
        options |= {"shell": True, "executable": os.environ.get("SHELL") or None}
    if sys.stdout is not sys.__stdout__:
        # What a cell has put in the place of stdout, as `%%capture` does, has no descriptor to give.
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with _file_of(stdin) as file:
        child = subprocess.Popen(command, stdin=file, **options)
    try:
        for line in child.stdout or ():
            sys.stdout.write(line.decode(errors="replace"))
        code = child.wait()
    except BaseException:
        _end_group(child)
        raise
    return code if code <= 128 else 128 - code


def _file_of(text: str | None) -> Any:
    if text is None:
        return contextlib.nullcontext()
    file = open(os.memfd_create("stdin"), "w+", encoding="utf-8")
    file.write(text)
    file.seek(0)
    return file


def _end_group(child: Any) -> None:
    import subprocess

    for number in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
            child.wait(INTERRUPT_GRACE_S)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def print_page(shell: Any, data: Any, start: int = 0, screen_lines: int = 0) -> None:
    """Prints what a pager would show."""
    text = data.get("text/plain", "") if isinstance(data, dict) else data
    print("\n".join(text.split("\n")[start:]))
