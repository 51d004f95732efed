"""Runs cells of contexts over the runner's channel. Needs Linux and a writable /workspace."""

import unittest
from typing import Any

from client import Client, Outcome, report_of

from _glovebox.wire import frames

BUDGET = {"results": {"limit": 10_000, "total": 50_000}}


class ContextTest(unittest.TestCase):
    def setUp(self) -> None:
        self.client = Client()
        self.addCleanup(lambda: self.client.process.poll() is None and self.client.close())

    def run_cell(self, code: str, context: str = "a", **request: Any) -> Outcome:
        return self.client.run(code, context=context, **BUDGET, **request)

    def test_variables_live_on_in_their_context_alone(self) -> None:
        self.assertEqual(report_of(self.run_cell("x = 1"))["context_alive"], True)
        self.assertEqual(self.run_cell("print(x)").stdout, b"1\n")
        self.assertIn(b"NameError", self.run_cell("print(x)", "b").stderr)
        self.assertIn(b"NameError", self.run_cell("print(x)", end_context="a").stderr)

    def test_an_error_ends_the_cell_and_not_the_context(self) -> None:
        self.run_cell("x = 5")
        report = report_of(self.run_cell("1/0"))
        self.assertEqual((report["exit_code"], report["error"]["name"]), (1, "ZeroDivisionError"))
        self.assertEqual(self.run_cell("print(x)").stdout, b"5\n")

    def test_an_interrupt_keeps_the_state(self) -> None:
        self.run_cell("x = 5")
        outcome = self.client.start("import time; print('ready'); time.sleep(60)", context="a", **BUDGET)
        self.assertTrue(outcome.printed.wait(10))
        self.client.stop(outcome, frames.INTERRUPT)
        self.assertTrue(outcome.ended.wait(10))
        self.assertEqual(report_of(outcome)["exit_code"], 130)
        self.assertEqual(report_of(outcome)["context_alive"], True)
        self.assertIn("<module>", report_of(outcome)["stacks"][0]["frames"][0])
        self.assertEqual(self.run_cell("print(x)").stdout, b"5\n")

    def test_a_context_that_dies_says_so_and_the_next_is_a_new_one(self) -> None:
        self.run_cell("x = 5")
        report = report_of(self.run_cell("import os; print(x, flush=True); os._exit(3)"))
        self.assertEqual((report["exit_code"], report["context_alive"]), (3, False))
        self.assertIn(b"NameError", self.run_cell("print(x)").stderr)

    def test_a_context_that_dies_between_its_cells_is_replaced(self) -> None:
        self.run_cell("import threading, os; threading.Timer(0.2, os._exit, (0,)).start()")
        self.client.run("import time; time.sleep(0.5)")
        self.assertEqual(self.run_cell("print('here')").stdout, b"here\n")

    def test_all_output_of_a_cell_comes_before_its_end(self) -> None:
        self.run_cell("1")
        for _ in range(20):
            outcome = self.run_cell("print('x' * 300_000)")
            self.assertEqual(len(outcome.stdout), 300_001)

    def test_a_thread_that_goes_on_printing_does_not_hold_up_the_end(self) -> None:
        self.run_cell(
            "import threading\n"
            "def spam():\n"
            "    while True: print('spam')\n"
            "threading.Thread(target=spam, daemon=True).start()\n"
        )
        self.assertIn(b"done", self.run_cell("print('done')").stdout)

    def test_each_cell_has_its_own_input(self) -> None:
        self.assertEqual(self.run_cell("print(input())", stdin="one\ntwo\n").stdout, b"one\n")
        self.assertIn(b"EOFError", self.run_cell("print(input())").stderr)

    def test_a_killed_context_takes_its_processes_along(self) -> None:
        self.run_cell("import subprocess; p = subprocess.Popen(['sleep', '98765']); print(p.pid)")
        outcome = self.client.start("print('ready'); import time; time.sleep(60)", context="a", **BUDGET)
        self.assertTrue(outcome.printed.wait(10))
        self.client.stop(outcome, frames.KILL)
        self.assertTrue(outcome.ended.wait(10))
        seen = self.client.run(
            "import os\n"
            "lines = (open(f'/proc/{p}/cmdline', 'rb').read() for p in os.listdir('/proc') if p.isdigit())\n"
            "print(sum(b'98765' in line for line in lines))\n"
        )
        self.assertEqual(seen.stdout, b"0\n")


if __name__ == "__main__":
    unittest.main()
