"""The processes that wait for the next requests. Needs Linux and a writable /workspace."""

import json
import os
import select
import signal
import socket
import time
import unittest
from collections.abc import Callable
from unittest.mock import patch

from client import Client

from _glovebox.runner import standby
from _glovebox.runner.execution import Execution
from _glovebox.runner.runner import Runner
from _glovebox.wire import frames


class StandbyTest(unittest.TestCase):
    def test_a_process_that_had_said_that_it_ends_was_given_a_request_before_it_had_ended(self) -> None:
        runner = Runner(None)
        ours, theirs = socket.socketpair()
        spare = Execution(os.getpid(), ours)
        with ours, theirs:
            runner.standby._take(spare)
            theirs.sendall(json.dumps(frames.NO_PROCESS).encode() + b"\n")
            runner.on_supervisor(spare, ours.fileno(), select.EPOLLIN)
            self.assertIsNone(runner.standby.ready)

    def test_the_next_program_was_forked_on_the_processor_that_the_answer_needed(self) -> None:
        runner, supervisor, orders = self.supervised()
        with patch.object(standby, "ANSWER_FIRST_S", 60):
            runner.standby.reuse(supervisor)
            runner.standby.prepare(None)
        self.assertIsNone(runner.standby.ready)
        self.assertGreater(runner.standby.patience_s() or 0, 30)
        # What waits needs it now.
        runner.standby.prepare({"code": "print(1)"})
        self.assertIs(runner.standby.ready, supervisor)
        self.assertEqual(orders.recv(16), frames.NEXT)

    def test_one_who_calls_without_a_pause_finds_the_next_program_forked(self) -> None:
        runner, supervisor, orders = self.supervised()
        with patch.multiple(standby, ANSWER_FIRST_S=60, IN_A_ROW_S=60):
            runner.standby.reuse(supervisor)
            runner.standby.prepare({"code": "print(1)"})
            runner.standby.take(supervisor)
            runner.standby.reuse(supervisor)
            runner.standby.prepare(None)
        self.assertIs(runner.standby.ready, supervisor)
        self.assertEqual([orders.recv(16), orders.recv(16)], [frames.NEXT, frames.NEXT])

    def test_two_processes_wait_for_the_first_request_and_one_for_those_after(self) -> None:
        client = Client()
        self.addCleanup(client.close)
        self.assertTrue(client.ready.wait(5))
        self.expect_children(client, 2)
        first, second = (client.start("import os; print(os.getpid())") for _ in range(2))
        for outcome in (first, second):
            self.assertTrue(outcome.ended.wait(10))
        self.assertNotEqual(first.stdout, second.stdout)
        self.expect_children(client, 1)
        # Longer than it takes until there would be another.
        time.sleep(0.5)
        self.expect_children(client, 1)

    def test_a_supervisor_that_had_closed_its_socket_but_not_ended_stayed_until_the_next_had(self) -> None:
        client = Client()
        self.addCleanup(client.close)
        for _ in range(30):
            self.assertEqual(client.run("print(1)").stdout, b"1\n")
            self.expect_children(client, 1)

    def test_the_second_of_them_runs_a_request_when_the_first_was_killed(self) -> None:
        client = Client()
        self.addCleanup(client.close)
        self.assertTrue(client.ready.wait(5))
        self.expect_children(client, 2)
        supervisor = self.children(client)[0]
        os.kill(supervisor, signal.SIGKILL)
        self.expect(lambda: supervisor not in self.children(client))
        self.assertEqual(client.run("print(1)").stdout, b"1\n")
        self.assertEqual(client.run("print(2)").stdout, b"2\n")

    def supervised(self) -> tuple[Runner, Execution, socket.socket]:
        """A runner that serves nobody, a supervisor without a process, and the socket on which that hears its orders."""
        runner = Runner(None)
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            self.addCleanup(end.close)
        supervisor = Execution(os.getpid(), ours)
        self.addCleanup(supervisor.close)
        return runner, supervisor, theirs

    def children(self, client: Client) -> list[int]:
        with open(f"/proc/{client.process.pid}/task/{client.process.pid}/children") as file:
            return [int(pid) for pid in file.read().split()]

    def expect_children(self, client: Client, number: int) -> None:
        self.expect(lambda: len(self.children(client)) == number)

    def expect(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertTrue(condition())


if __name__ == "__main__":
    unittest.main()
