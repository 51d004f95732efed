"""The runner's modules and the code's: neither meets the other. Needs Linux and a writable /workspace."""

import json
import os
import shutil
import unittest

from client import RUNNER, Client, report_of

NAMES = ("_glovebox", "files", "results", "rich", "frames", "linux", "paths", "program", "runner", "context", "displays")
RESULTS = {"limit": 100_000, "total": 400_000}
IMPORT_ALL = f"print(*[__import__(name).mine for name in {NAMES}])\n"
LOOK = """
import importlib.util, sys
print([name for name in list(sys.modules) if name.partition(".")[0] in %r], %r in sys.path)
print([name for name in %r if importlib.util.find_spec(name)])
"""
"""Says which modules of these names are loaded, whether the runner's folder is on the path, and which can be found."""
USES = {
    "nothing": "pass",
    "a display": "display({'text/html': '<b>'}, raw=True)",
    "an error": "try: import nonesuch\nexcept ImportError: pass",
}


class OwnModulesTest(unittest.TestCase):
    def setUp(self) -> None:
        self.client = Client()
        self.addCleanup(self.client.close)

    def plant(self) -> None:
        """Modules of the session, each the half of them as a folder."""
        for at, name in enumerate(NAMES):
            path = f"/workspace/{name}.py" if at % 2 else f"/workspace/{name}/__init__.py"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write(f"mine = {name!r}\n")
            self.addCleanup(shutil.rmtree if at % 2 == 0 else os.unlink, path if at % 2 else os.path.dirname(path))

    def test_modules_of_the_session_by_the_names_of_the_runners_are_imported(self) -> None:
        self.plant()
        code = IMPORT_ALL + "display(1)\n" + IMPORT_ALL
        for kind, more in {"script": {}, "context": {"context": "c"}, "new interpreter": {"new_interpreter": True}}.items():
            with self.subTest(kind):
                outcome = self.client.run(code, results=RESULTS, env={}, **more)
                self.assertEqual((outcome.stdout.decode(), outcome.stderr), (f"{' '.join(NAMES)}\n" * 2, b""))
                self.assertEqual(json.loads(outcome.display)["text"], "1")

    def test_an_error_is_reported_beside_modules_of_the_session_by_these_names(self) -> None:
        self.plant()
        for more in ({}, {"context": "c"}):
            with self.subTest(**more):
                outcome = self.client.run(f"{IMPORT_ALL}\n1 / 0", results=RESULTS, **more)
                self.assertEqual(report_of(outcome)["error"]["name"], "ZeroDivisionError")
                self.assertNotIn("/runner", outcome.stderr.decode())
                again = self.client.run(IMPORT_ALL, results=RESULTS, **more)
                self.assertEqual(again.stdout.decode(), f"{' '.join(NAMES)}\n")

    def test_no_module_of_the_runner_is_there_for_the_code(self) -> None:
        look = LOOK % (NAMES, RUNNER, [name for name in NAMES if name != "rich"])
        for kind, more in {"script": {}, "context": {"context": "c"}, "new interpreter": {"new_interpreter": True}}.items():
            for what, use in USES.items():
                with self.subTest(kind, after=what):
                    outcome = self.client.run(f"{use}\n{look}", results=RESULTS, env={}, **more)
                    self.assertEqual((outcome.stdout, outcome.stderr), (b"[] False\n[]\n", b""))

    def test_planted_modules_are_not_met_by_what_the_runner_imports(self) -> None:
        for name in ("own_frames", "error_report", "IPython", "traitlets", "asyncio"):
            path = f"/workspace/{name}.py"
            with open(path, "w") as file:
                file.write("print('planted')\n")
            self.addCleanup(os.unlink, path)
        self.assertEqual(self.client.run("print(1)", context="c", results=RESULTS).stdout, b"1\n")
        failed = self.client.run("import sys; sys.path.insert(0, ''); 1 / 0", results=RESULTS)
        self.assertEqual((failed.stdout, report_of(failed)["error"]["name"]), (b"", "ZeroDivisionError"))

    def test_a_process_that_the_code_forks_reports_its_errors(self) -> None:
        code = (
            "import os, threading\n"
            "threading.Thread(target=lambda: [display(n) for n in range(50)]).start()\n"
            "if child := os.fork(): os.waitpid(child, 0)\n"
            "else: 1 / 0\n"
        )
        outcome = self.client.run(code, results=RESULTS)
        self.assertIn(b"ZeroDivisionError", outcome.stderr)
        self.assertEqual(report_of(outcome)["exit_code"], 0)

    def test_a_program_holds_no_socket_of_the_runners(self) -> None:
        client = Client(door=f"test-{os.urandom(6).hex()}")
        self.addCleanup(client.process.wait)
        self.addCleanup(client.process.kill)
        self.assertEqual(client.run("x = 1", context="c", results=RESULTS).stderr, b"")
        look = (
            "import gc, socket; gc.unfreeze()\n"
            "print([each for each in gc.get_objects() if isinstance(each, socket.socket) and each.fileno() >= 0])"
        )
        for more in ({}, {"context": "c", "results": RESULTS}, {}):
            outcome = client.run(look, **more)
            self.assertEqual((outcome.stdout, outcome.stderr), (b"[]\n", b""))


if __name__ == "__main__":
    unittest.main()
