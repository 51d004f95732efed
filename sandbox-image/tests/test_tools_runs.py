"""The module `tools` in programs and contexts of a runner. Needs Linux, 127.0.0.1:3142 free, and a writable /workspace."""

import os
import shutil
import signal
import subprocess
import sys
import unittest
from typing import Any

from client import Client, Outcome, report_of
from tools_case import SITE_PACKAGES
from tools_door import TOKEN, Door

from _glovebox.wire import frames

RESULTS = {"limit": 100_000, "total": 400_000}
# Before the module that the image may have, and after those of the session, as that is.
FIND = f"import sys; sys.path.insert(sys.path.index('/workspace' if '/workspace' in sys.path else '') + 1, {SITE_PACKAGES!r})\n"


class RunsTest(unittest.TestCase):
    def setUp(self) -> None:
        self.client = Client()
        self.addCleanup(self.client.close)
        self.assertTrue(self.client.ready.wait(15))
        self.door = Door()
        self.addCleanup(self.door.close)

    def run_code(self, code: str, token: str | None = "secret", **request: Any) -> Outcome:
        env = {"env": {TOKEN: token}} if token else {}
        return self.client.run(FIND + code, **env, **request)

    def plant(self, path: str, text: str) -> None:
        whole = f"/workspace/{path}"
        os.makedirs(os.path.dirname(whole), exist_ok=True)
        with open(whole, "w") as file:
            file.write(text)
        first = f"/workspace/{path.partition('/')[0]}"
        self.addCleanup(shutil.rmtree if first != whole else os.unlink, first, *([True] if first != whole else []))

    def test_a_program_calls_tools(self) -> None:
        outcome = self.run_code("import tools\nprint(tools.github.echo(a=1))")
        self.assertEqual((outcome.stdout, outcome.stderr), (b"{'a': 1}\n", b""))

    def test_an_error_leads_to_the_line_of_the_code_and_to_nothing_else(self) -> None:
        code = "import tools\n\ndef ask():\n    return tools.github.fail(a=1)\n\nask()"
        for place in ({}, {"context": "c", "results": RESULTS}):
            outcome = self.run_code(code, **place)
            shown = outcome.stderr.decode()
            self.assertIn("return tools.github.fail(a=1)", shown)
            self.assertIn("glovebox_tools.ToolError: upstream: It went wrong.\nTry again.\n", shown)
            self.assertEqual(shown.count('File "'), 2, shown)
            error = report_of(outcome)["error"]
            self.assertEqual(error["name"], "ToolError")
            self.assertNotIn("site-packages", error["traceback"])

    def test_an_error_of_map_leads_through_the_functions_of_the_code(self) -> None:
        outcome = self.run_code("import tools\ndef ask(n):\n    return tools.github.fail(n=n)\ntools.map(ask, range(3))")
        shown = outcome.stderr.decode()
        self.assertIn("tools.map(ask, range(3))", shown)
        self.assertIn("in ask", shown)
        self.assertEqual([line for line in shown.splitlines() if 'File "' in line and "/main.py" not in line], [], shown)

    def test_a_program_without_access_is_told_how_to_get_it(self) -> None:
        outcome = self.run_code("import tools\ntools.github", token=None)
        self.assertIn(b"denied: This code was given no tools.", outcome.stderr)
        self.assertIn(b"execute_python", outcome.stderr)

    def test_each_cell_of_a_context_has_its_own_access(self) -> None:
        self.door.tokens = {"first", "second"}
        cell = {"context": "c", "results": RESULTS}
        outcome = self.run_code("import tools\ngithub = tools.github\nprint(github.echo(a=1))", token="first", **cell)
        self.assertEqual(outcome.stdout, b"{'a': 1}\n")
        outcome = self.client.run("print(github.echo(a=2))", env={TOKEN: "second"}, **cell)
        self.assertEqual(outcome.stdout, b"{'a': 2}\n")
        self.assertIn(b"denied", self.client.run("github.echo(a=3)", **cell).stderr)
        self.assertEqual([request["token"] for request in self.door.requests], ["first", "first", "second"])

    def test_cells_await_tools(self) -> None:
        code = (
            "import asyncio, tools\n"
            "values = await asyncio.gather(*(tools.aio.github.echo(n=n) for n in range(3)))\nprint(values)"
        )
        outcome = self.run_code(code, context="c", results=RESULTS)
        self.assertEqual((outcome.stdout, outcome.stderr), (b"[{'n': 0}, {'n': 1}, {'n': 2}]\n", b""))

    def test_an_interrupted_call_ends_on_the_other_side_and_the_context_goes_on(self) -> None:
        for code in (
            "tools.github.wait()",
            "await tools.aio.github.wait()",
            "tools.map(lambda n: tools.github.wait(), [1])",
        ):
            with self.subTest(code):
                self.door.aborted.clear()
                cell = {"context": "c", "results": RESULTS, "env": {TOKEN: "secret"}}
                outcome = self.client.start(f"{FIND}import tools\n{code}", **cell)
                self.assertTrue(self.door.waiting.acquire(timeout=10))
                self.client.stop(outcome, frames.INTERRUPT)
                self.assertTrue(outcome.ended.wait(10))
                self.assertTrue(self.door.aborted.wait(10))
                self.assertTrue(report_of(outcome)["context_alive"])
                self.assertNotIn(b"glovebox_tools", outcome.stderr)
                self.assertEqual(self.client.run("print(tools.github.echo())", **cell).stdout, b"{}\n")

    def test_a_process_that_is_killed_ends_its_call(self) -> None:
        outcome = self.client.start(
            f"{FIND}import os, tools\nprint(os.getpid(), flush=True)\ntools.github.wait()", env={TOKEN: "secret"}
        )
        self.assertTrue(self.door.waiting.acquire(timeout=10))
        os.kill(int(outcome.stdout), signal.SIGKILL)
        self.assertTrue(self.door.aborted.wait(10))
        self.assertTrue(outcome.ended.wait(10))

    def test_a_module_of_the_sessions_own_comes_first_and_the_other_is_reached_by_its_long_name(self) -> None:
        self.plant("tools.py", "mine = 1\n")
        outcome = self.run_code("import tools, glovebox_tools\nprint(tools.mine, glovebox_tools.github.echo(a=1))")
        self.assertEqual((outcome.stdout, outcome.stderr), (b"1 {'a': 1}\n", b""))

    def test_a_folder_of_modules_called_tools_was_hidden(self) -> None:
        self.plant("tools/clean.py", "mine = 2\n")
        self.plant("tools/_errors.py", "mine = 3\n")
        outcome = self.run_code("import tools.clean\nfrom tools import clean\nprint(clean.mine, tools.github.echo(a=1))")
        self.assertEqual((outcome.stdout, outcome.stderr), (b"2 {'a': 1}\n", b""))

    def test_the_import_loads_nothing_else(self) -> None:
        code = (
            f"import sys\nsys.path.insert(0, {SITE_PACKAGES!r})\nbefore = set(sys.modules)\nimport tools\n"
            "print(sorted(set(sys.modules) - before))\n"
            "assert tools is sys.modules['glovebox_tools'], tools\n"
        )
        done = subprocess.run([sys.executable, "-Ic", code], capture_output=True, timeout=20)
        self.assertEqual(done.stderr, b"")
        self.assertEqual(done.stdout, b"['glovebox_tools', 'glovebox_tools._frames', 'tools']\n")


if __name__ == "__main__":
    unittest.main()
