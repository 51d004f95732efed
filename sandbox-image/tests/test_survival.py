"""What code does to its own pipes and processes ends no more than itself. Needs Linux and a writable /workspace."""

import os
import select
import socket
import unittest
from unittest import mock

from client import Client, report_of

from _glovebox.runner.execution import Execution
from _glovebox.runner.executions import Executions
from _glovebox.supervisor import program_report, supervisor
from _glovebox.wire import channel, frames
from _glovebox.wire.reactor import Reactor


BUDGET = {"results": {"limit": 10_000, "total": 50_000}}


class OutputTest(unittest.TestCase):
    """The pipes of a program, whose ends this test has."""

    def setUp(self) -> None:
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        self.execution = Execution(0, ours)
        self.execution.start_program()
        self.addCleanup(self.execution.close)
        _, self.ends, _, _ = socket.recv_fds(theirs, 1, 4)
        self.addCleanup(lambda: [os.close(end) for end in self.ends])
        self.reactor = Reactor()
        self.addCleanup(self.reactor.close)
        self.ended = mock.Mock()
        self.executions = Executions(self.reactor, mock.Mock(), self.ended)
        self.executions.watch_outputs(self.execution)
        self.stdout = next(descriptor for descriptor, kind in self.execution.outputs.items() if kind == frames.STDOUT)

    def test_the_runner_waited_for_more_when_code_had_taken_back_its_output(self) -> None:
        self.reactor.dispatch([(self.stdout, select.EPOLLIN)])
        self.ended.assert_not_called()
        self.assertIn(self.stdout, self.execution.outputs)

    def test_a_run_never_ended_when_code_had_taken_back_its_output_after_it(self) -> None:
        os.write(self.ends[1], b"x")
        self.execution.owe_what_is_there()
        self.assertFalse(self.execution.delivered)
        os.read(self.stdout, 1)
        while self.ends:
            os.close(self.ends.pop())
        self.reactor.dispatch(self.reactor.wait(10))
        self.assertTrue(self.execution.delivered)


class EventsTest(unittest.TestCase):
    def test_an_event_of_a_closed_descriptor_reached_the_next_one_of_its_number(self) -> None:
        reactor = Reactor()
        self.addCleanup(reactor.close)
        first, second, other = (os.pipe() for _ in range(3))
        for descriptor in (*first, *second, *other):
            self.addCleanup(os.close, descriptor)
        heard = mock.Mock()

        def put_another_in_its_place(_descriptor: int, _events: int) -> None:
            reactor.unwatch(second[0])
            os.dup2(other[0], second[0])
            reactor.watch(second[0], select.EPOLLIN, heard)

        reactor.watch(first[0], select.EPOLLIN, put_another_in_its_place)
        reactor.watch(second[0], select.EPOLLIN, lambda _descriptor, _events: self.fail("it was closed"))
        reactor.dispatch([(first[0], select.EPOLLIN), (second[0], select.EPOLLIN)])
        heard.assert_not_called()
        os.write(other[1], b"x")
        reactor.dispatch([ready for ready in reactor.wait(10) if ready[0] == second[0]])
        heard.assert_called_once()

    def test_a_channel_that_the_engine_resets_has_ended(self) -> None:
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        ours.send(b"unread")
        theirs.close()
        ended = mock.Mock()
        reactor = Reactor()
        self.addCleanup(reactor.close)
        with mock.patch.object(channel, "_IN", ours.fileno()):
            channel.Channel(reactor, lambda *_: None, ended).listen()
        reactor.dispatch(reactor.wait(10))
        ended.assert_called_once()


class SupervisorTest(unittest.TestCase):
    def test_a_supervisor_that_was_reset_left_its_program_alone_instead_of_ending_it(self) -> None:
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        theirs.send(b"a report that the runner has not read")
        ours.close()
        self.assertEqual(supervisor.next_command(theirs), b"")

    def test_a_number_without_end_in_a_programs_report_ended_the_runner(self) -> None:
        heard = program_report.parse(b'{"prepared": Infinity, "cpu_ms": NaN, "exit_code": 3}')
        names = ("prepared", "cpu_ms", "exit_code")
        self.assertEqual(program_report.numbers(heard, names), {"prepared": 0, "cpu_ms": 0, "exit_code": 3})


class ContextTest(unittest.TestCase):
    def test_the_next_cell_ended_the_runner_when_the_supervisor_was_killed_while_output_waited(self) -> None:
        client = Client(grant=False)
        self.addCleanup(lambda: client.process.poll() is None and client.close())
        first = client.run("import os; print(os.getpid(), os.getppid(), end='')", context="a", **BUDGET)
        program, its_supervisor = map(int, first.stdout.split())
        cell = client.start(f"print('x' * {frames.INITIAL_CREDIT + 20_000}, end='')", context="a", **BUDGET)
        while len(cell.stdout) < frames.INITIAL_CREDIT:
            self.assertTrue(cell.printed.wait(10))
            cell.printed.clear()
        kill = (
            "import os, time\n"
            "def sleeps(pid): return open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[0] == 'S'\n"
            f"while not (sleeps({program}) and sleeps({its_supervisor})): time.sleep(0.01)\n"
            f"os.kill({its_supervisor}, 9)\n"
        )
        self.assertEqual(report_of(client.run(kill))["exit_code"], 0)
        client.tell(frames.CREDIT, cell, (100_000).to_bytes(4, "big"))
        self.assertTrue(cell.ended.wait(10))
        self.assertEqual(report_of(cell), {"failed": "supervisor lost", "context_alive": False, "context_created": False})
        again = client.run("print(2)", context="a", **BUDGET)
        self.assertEqual(again.stdout, b"2\n")
        self.assertTrue(report_of(again)["context_created"])
