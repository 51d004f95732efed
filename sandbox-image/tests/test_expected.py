"""What is loaded ahead because sessions of late used it. Needs the image with data packages, and an empty /workspace."""

import json
import os
import threading
import time
import unittest
from typing import Any

from client import Client, Outcome, report_of
from test_preload import FIND

from _glovebox.wire import frames

MIB = 1024 * 1024
RESULTS = {"limit": 10_000, "total": 50_000}
PROCESSES = """
import os
def runners(pid):
    try:
        return open(f'/proc/{pid}/cmdline').read().count('runner')
    except OSError:
        return 0
print(sum(runners(pid) for pid in os.listdir('/proc') if pid.isdigit()))
"""


class Expecting(Client):
    """A control plane that says what it expects, and keeps what the runner says of it."""

    def __init__(self, modules: list[str], context: bool = False, megabytes: int = 300, door: str | None = None) -> None:
        self.notes: list[dict[str, Any]] = []
        self.heard = threading.Condition()
        super().__init__(door=door)
        self.expect(modules, context, megabytes)

    def expect(self, modules: list[str], context: bool = False, megabytes: int = 300) -> None:
        expected = {"modules": modules, "context": context, "bytes": megabytes * MIB}
        self.send(frames.CONFIGURE, 0, json.dumps({"preload": "adaptive", "expect": expected}).encode())

    def _take(self, kind: int, stream: int, payload: bytes) -> None:
        if kind != frames.NOTE:
            super()._take(kind, stream, payload)
            return
        with self.heard:
            self.notes.append(json.loads(payload))
            self.heard.notify_all()

    def told(self, count: int = 1) -> dict[str, Any]:
        """The so many-th note on what is loaded."""
        with self.heard:
            if not self.heard.wait_for(lambda: len(self.loaded()) >= count, 20):
                raise AssertionError(f"so far {self.notes}")
            return self.loaded()[count - 1]

    def loaded(self) -> list[dict[str, Any]]:
        return [note["preloaded"] for note in self.notes if "preloaded" in note]

    def failed(self) -> list[dict[str, str]]:
        return [note["preload_failed"] for note in self.notes if "preload_failed" in note]

    def finds(self, name: str, **request: Any) -> bool:
        return printed(self.run(FIND.format(name), **request)) == "True\n"


def printed(outcome: Outcome) -> str:
    if outcome.stderr:
        raise AssertionError(outcome.stderr.decode())
    return outcome.stdout.decode()


class ExpectedTest(unittest.TestCase):
    def start(self, *arguments: Any, **options: Any) -> Expecting:
        client = Expecting(*arguments, **options)
        self.addCleanup(lambda: client.process.poll() is None and client.close())
        return client

    def test_the_first_execution_finds_what_is_expected_and_that_is_its_own_then(self) -> None:
        client = self.start(["numpy", "yaml"])
        self.assertGreater(client.told()["bytes"], MIB)
        outcome = client.run(FIND.format("numpy"))
        self.assertEqual(printed(outcome), "True\n")
        self.assertEqual(report_of(outcome)["imported"], ["numpy"])
        self.assertEqual(client.told(2)["bytes"], 0)
        self.assertTrue(client.finds("numpy"))
        self.assertTrue(client.finds("yaml"))

    def test_code_that_does_not_import_it_gets_a_process_without_it(self) -> None:
        client = self.start(["numpy"])
        client.told()
        outcome = client.run("import sys; print('numpy' in sys.modules)")
        self.assertEqual(printed(outcome), "False\n")
        self.assertNotIn("imported", report_of(outcome))
        self.assertTrue(client.finds("numpy"))

    def test_a_session_that_does_not_use_it_gives_it_up(self) -> None:
        client = self.start(["numpy"], context=True)
        client.told()
        before = int(printed(client.run(PROCESSES)))
        self.assertEqual(client.told(2)["bytes"], 0)
        # What was ended, and what is made ready for the next call, is counted for a moment still.
        deadline = time.monotonic() + 20
        while int(printed(client.run(PROCESSES))) >= before - 3:
            self.assertLess(time.monotonic(), deadline, "its processes went on")
        self.assertFalse(client.finds("numpy"))

    def test_a_session_that_called_all_the_time_kept_what_it_did_not_use(self) -> None:
        client = self.start(["numpy"])
        client.told()
        deadline = time.monotonic() + 20
        while len(client.loaded()) < 2 and time.monotonic() < deadline:
            client.run("pass")
        self.assertEqual(client.told(2)["bytes"], 0)

    def test_a_first_cell_gets_the_interpreter_that_is_ready(self) -> None:
        client = self.start([], context=True)
        self.assertGreater(client.told()["bytes"], MIB)
        outcome = client.run("x = 20\nx + 1", context="a", results=RESULTS)
        self.assertEqual((outcome.stderr, outcome.display), (b"", b'{"text": "21"}\n'))
        self.assertTrue(report_of(outcome)["context_created"])
        self.assertEqual(client.told(2)["bytes"], 0)
        self.assertEqual(printed(client.run("print(x)", context="a", results=RESULTS)), "20\n")
        self.assertEqual(printed(client.run("print('x' in globals())", context="b", results=RESULTS)), "False\n")

    def test_a_cell_that_imports_what_is_expected_finds_it(self) -> None:
        client = self.start(["numpy"], context=True)
        client.told()
        self.assertTrue(client.finds("numpy", context="a", results=RESULTS))

    def test_an_interpreter_made_ahead_is_as_one_made_for_its_cell(self) -> None:
        ahead, late = self.start([], context=True), self.start([])
        ahead.told()
        code = "import os, sys, signal\nprint(sys.path, sys.argv, os.getcwd(), sorted(os.environ), signal.getsignal(signal.SIGINT))"
        code += "\nprint(sorted(set(globals()) | set(dir(__builtins__))), sorted(name for name in sys.modules))"
        outputs = [
            printed(client.run(code, context="a", results=RESULTS, env={"A": "1"})).replace(str(client.process.pid), "")
            for client in (ahead, late)
        ]
        self.assertEqual(*outputs)

    def test_a_module_that_takes_too_much_is_left_out_with_those_after_it_and_named(self) -> None:
        client = self.start(["yaml", "pandas", "networkx"], megabytes=16)
        told = client.told()
        self.assertEqual(told["over"], "pandas")
        self.assertLess(told["bytes"], 16 * MIB)
        self.assertEqual(client.failed(), [])
        self.assertFalse(client.finds("pandas"))

    def test_what_cannot_be_loaded_is_told_and_the_others_are_there(self) -> None:
        client = self.start(["no_such_module", "numpy"])
        client.told()
        self.assertEqual([failed["module"] for failed in client.failed()], ["no_such_module"])
        self.assertTrue(client.finds("numpy"))

    def test_what_more_is_expected_of_a_sandbox_that_waits_is_added(self) -> None:
        client = self.start(["numpy"])
        client.told()
        client.expect(["numpy", "networkx"])
        client.told(2)
        self.assertTrue(client.finds("networkx"))

    def test_a_session_that_begins_before_all_is_loaded_does_not_wait_for_it(self) -> None:
        client = self.start(["scipy.stats", "sklearn.linear_model", "matplotlib.pyplot"])
        self.assertEqual(printed(client.run("print(1)")), "1\n")
        # Nothing was told before, when all would have been loaded.
        self.assertEqual(client.told()["bytes"], 0)
        self.assertFalse(client.finds("numpy"))

    def test_code_that_needs_what_is_under_way_gets_what_there_is_by_then(self) -> None:
        client = self.start(["numpy", "no_such_module", "sklearn.linear_model"])
        self.assertEqual(printed(client.run("import numpy; print(numpy.__name__)")), "numpy\n")

    def test_the_next_control_plane_expects_nothing_and_hears_nothing(self) -> None:
        door = f"test-{os.urandom(6).hex()}"
        first = Expecting(["numpy"], context=True, door=door)
        self.addCleanup(first.process.wait, 5)
        self.addCleanup(first.process.kill)
        first.told()
        assert first.process.stdin
        first.process.stdin.close()
        second = Expecting([], door=door)
        self.addCleanup(second.process.wait, 5)
        self.addCleanup(second.process.kill)
        second.send(frames.CONFIGURE, 0, b'{"preload": "adaptive"}')
        self.assertTrue(second.ready.wait(15))
        self.assertFalse(second.finds("numpy"))

    def test_modules_make_room_for_a_program_that_needs_the_memory(self) -> None:
        self.check_room(["numpy"], context=False)

    def test_the_interpreter_of_a_context_makes_room_for_a_program_that_needs_the_memory(self) -> None:
        self.check_room([], context=True)

    def check_room(self, modules: list[str], context: bool) -> None:
        client = self.start(modules, context=context)
        client.told()
        outcome = client.start(
            "limit = next(int(open(p).read()) for p in ('/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes')\n"
            "    if __import__('os').path.exists(p))\n"
            "held = bytearray(int(limit * 0.6))\n"
            "print('held', flush=True)\n"
            "input()\n",
            stdin_stream=True,
        )
        self.assertEqual(client.told(2)["bytes"], 0)
        client.tell(frames.FIN, outcome)
        self.assertTrue(outcome.ended.wait(20))

    def test_a_module_of_the_session_is_imported_instead(self) -> None:
        client = self.start(["numpy"])
        client.told()
        client.run("open('numpy.py', 'w').write('mine = 1')")
        self.addCleanup(os.unlink, "/workspace/numpy.py")
        self.assertEqual(printed(client.run("import numpy; print(numpy.mine)")), "1\n")
