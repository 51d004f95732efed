"""Which execution it was that lost a process to the memory limit. Needs Linux."""

import os
import signal
import socket
import subprocess
import sys
import unittest

from _glovebox import linux
from _glovebox.runner import memory_kills
from _glovebox.runner.execution import Execution


class MemoryKillsTest(unittest.TestCase):
    """Executions that ran beside each other while the memory limit ended processes."""

    def setUp(self) -> None:
        self.executions: list[Execution] = []

    def begin(self) -> Execution:
        ours, _ = socket.socketpair()
        self.addCleanup(ours.close)
        execution = Execution(0, ours)
        self.executions.append(execution)
        memory_kills.begin(execution, self.executions)
        return execution

    def end(self, execution: Execution, kills: int, ended: bool = False, killed_by: int | None = None) -> bool:
        exit_code = 0 if killed_by is None else None
        report = {"exit_code": exit_code, "signal": killed_by, "oom_killed": kills > 0}
        if kills:
            report.update(oom_kills=kills, processes_ended=ended)
        self.executions.remove(execution)
        memory_kills.settle(execution, report, self.executions)
        self.assertEqual(set(report), {"exit_code", "signal", "oom_killed"})
        return report["oom_killed"] is True

    def test_a_kill_is_that_of_the_only_one(self) -> None:
        self.assertTrue(self.end(self.begin(), kills=1))
        self.assertFalse(self.end(self.begin(), kills=0))

    def test_one_that_lost_no_process_is_not_blamed(self) -> None:
        first, second = self.begin(), self.begin()
        self.assertFalse(self.end(first, kills=1))
        self.assertTrue(self.end(second, kills=1, ended=True))

    def test_a_kill_that_ended_the_program_of_another_is_that_ones(self) -> None:
        first, second, third = self.begin(), self.begin(), self.begin()
        self.assertTrue(self.end(first, kills=1, killed_by=signal.SIGKILL))
        self.assertFalse(self.end(second, kills=1, ended=True))
        self.assertTrue(self.end(third, kills=2, ended=True))

    def test_one_that_had_to_be_killed_takes_no_kill_from_others(self) -> None:
        first, second = self.begin(), self.begin()
        first.is_killed = True
        self.end(first, kills=1, killed_by=signal.SIGKILL)
        self.assertTrue(self.end(second, kills=1, ended=True))

    def test_a_crash_beside_a_kill_of_another_is_a_crash(self) -> None:
        first, second = self.begin(), self.begin()
        self.assertFalse(self.end(first, kills=1, killed_by=signal.SIGSEGV))
        self.assertTrue(self.end(second, kills=1, ended=True))

    def test_processes_that_ended_are_seen_whether_they_were_waited_for_or_not(self) -> None:
        code = "import subprocess, sys; {}; print(1, flush=True); sys.stdin.read()"
        for start, ended in [
            ("pass", False),
            ("subprocess.run('true')", True),
            ("p = subprocess.Popen('true'); import os; os.waitid(os.P_PID, p.pid, os.WEXITED | os.WNOWAIT)", True),
            ("subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL)", False),
        ]:
            with self.subTest(start):
                program = subprocess.Popen(
                    [sys.executable, "-c", code.format(start)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    start_new_session=True,
                )
                assert program.stdin and program.stdout
                program.stdout.readline()
                seen = linux.has_ended_processes(program.pid, since=0)
                os.killpg(program.pid, signal.SIGKILL)
                program.communicate()
                self.assertEqual(seen, ended)


if __name__ == "__main__":
    unittest.main()
