"""The program that does what is asked with files, on pipes of its own."""

import json
import os
import shutil
import sys
import tempfile
import traceback
import unittest
from collections.abc import Callable
from typing import Any

RUNNER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "runner")
sys.path.insert(0, RUNNER)

from _glovebox.files import files  # noqa: E402


class Process:
    """The program on pipes of its own, forked as the runner forks it."""

    def __init__(self, main: Callable[[], None]) -> None:
        their_stdin, stdin = os.pipe()
        stdout, their_stdout = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 70
            try:
                os.dup2(their_stdin, 0)
                os.dup2(their_stdout, 1)
                os.closerange(3, 100)
                main()
                code = 0
            except SystemExit as leave:
                code = leave.code if isinstance(leave.code, int) else 70
            except BaseException:  # noqa: BLE001 - nothing may unwind into the tests
                traceback.print_exc()
            os._exit(code)
        os.close(their_stdin)
        os.close(their_stdout)
        self.stdin = open(stdin, "wb", buffering=0)
        self.stdout = open(stdout, "rb")
        self.code: int | None = None

    def finish(self, stdin: bytes = b"") -> bytes:
        """Sends the rest, and waits for the end and all that comes before it."""
        try:
            self.stdin.write(stdin)
        except BrokenPipeError:
            # Refused before all was read.
            pass
        self.stdin.close()
        with self.stdout:
            out = self.stdout.read()
        self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return out


def chunk(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def whole(*chunks: bytes) -> bytes:
    return b"".join(map(chunk, chunks)) + chunk(b"")


def bundle(*entries: tuple[dict[str, Any], bytes]) -> bytes:
    return b"".join(json.dumps(entry).encode() + b"\n" + data for entry, data in entries)


def file_entry(path: str, data: bytes, **fields: Any) -> tuple[dict[str, Any], bytes]:
    return {"path": path, "type": "file", "size": len(data), "mode": 0o644, "modified_ms": 0, **fields}, data


def folder_entry(path: str, **fields: Any) -> tuple[dict[str, Any], bytes]:
    return file_entry(path, b"", **{"type": "directory", "mode": 0o755, **fields})


class FilesTest(unittest.TestCase):
    def setUp(self) -> None:
        self.base = tempfile.mkdtemp(dir=os.environ.get("FILES_TEST_DIRECTORY"))
        self.addCleanup(shutil.rmtree, self.base)
        self.root = os.path.join(self.base, "workspace")
        os.mkdir(self.root)
        with open(os.path.join(self.base, "secret"), "w") as file:
            file.write("secret")

    def path(self, *names: str) -> str:
        return os.path.join(self.root, *names)

    def make(self, path: str, data: bytes = b"data") -> None:
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        with open(self.path(path), "wb") as file:
            file.write(data)

    def contents(self, path: str) -> bytes:
        with open(self.path(path), "rb") as file:
            return file.read()

    def start(self, op: str, path: str, before: Callable[[], None] = lambda: None, **request: Any) -> Process:
        def main() -> None:
            before()
            files.main({"op": op, "path": path, **request}, self.root)

        return Process(main)

    def ask(self, op: str, path: str, stdin: bytes = b"", **request: Any) -> tuple[Any, bytes, int | None]:
        process = self.start(op, path, **request)
        header, _, rest = process.finish(stdin).partition(b"\n")
        return json.loads(header) if header else None, rest, process.code

    def refusal(self, op: str, path: str, stdin: bytes = b"", **request: Any) -> dict[str, str]:
        header, rest, code = self.ask(op, path, stdin, **request)
        self.assertEqual((rest, code), (b"", 1))
        return header["error"]
