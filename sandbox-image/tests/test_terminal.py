"""Terminals, driven as the control plane does. Needs Linux with PTYs and a writable /workspace."""

import os
import struct
import time
import unittest
from typing import Any

from client import Client, Outcome, report_of

from _glovebox.program.terminal import FrameReader
from _glovebox.wire import frames


def typed(text: bytes) -> bytes:
    return struct.pack(">BI", 0, len(text)) + text


def resized(rows: int, columns: int) -> bytes:
    return struct.pack(">BHH", 1, rows, columns)


class FrameReaderTest(unittest.TestCase):
    def test_frames_are_the_same_however_they_are_cut(self) -> None:
        data = typed(b"abc") + resized(3, 4) + typed(b"") + typed(b"d" * 300) + b"\x09\0\0\0\0" + resized(65535, 0)
        for size in (1, 2, 3, 7, len(data)):
            said: list[Any] = []
            reader = FrameReader(said.append, lambda rows, columns: said.append((rows, columns)))
            for at in range(0, len(data), size):
                reader.feed(data[at : at + size])
            keys = b"".join(piece for piece in said if isinstance(piece, bytes))
            self.assertEqual(keys, b"abc" + b"d" * 300)
            self.assertEqual([size for size in said if isinstance(size, tuple)], [(3, 4), (65535, 0)])


class TerminalTest(unittest.TestCase):
    def setUp(self) -> None:
        self.client = Client()
        self.addCleanup(lambda: self.client.process.poll() is None and self.client.close())

    def open(self, *command: str, **request: Any) -> Outcome:
        more = {"command": list(command)} if command else {}
        return self.client.start("", kind="terminal", stdin_stream=True, **{"rows": 24, "cols": 80, **more, **request})

    def type(self, outcome: Outcome, data: bytes) -> None:
        self.client.tell(frames.DATA, outcome, data)

    def await_output(self, outcome: Outcome, text: bytes, after: int = 0) -> None:
        deadline = time.monotonic() + 20
        while text not in outcome.stdout[after:]:
            outcome.printed.clear()
            if text not in outcome.stdout[after:] and not outcome.printed.wait(deadline - time.monotonic()):
                raise AssertionError(f"no {text!r} in {outcome.stdout[-2000:]!r}")

    def await_end(self, outcome: Outcome) -> dict[str, Any]:
        self.assertTrue(outcome.ended.wait(20), outcome.stdout[-2000:])
        return report_of(outcome)

    def test_a_shell_has_a_terminal_of_its_size_and_the_workspace(self) -> None:
        outcome = self.open(rows=30, cols=100)
        self.type(outcome, typed(b"tty; stty size; pwd; echo $TERM\r"))
        self.await_output(outcome, b"/dev/pts/")
        self.await_output(outcome, b"30 100\r\n/workspace\r\nxterm-256color\r\n")
        self.type(outcome, typed(b"exit 7\r"))
        report = self.await_end(outcome)
        self.assertEqual((report["exit_code"], report["survivors"]), (7, False))

    def test_a_change_of_size_reaches_the_program_and_one_that_no_terminal_has_does_not(self) -> None:
        outcome = self.open("/bin/sh", "-c", "trap 'stty size' WINCH; echo begun; while :; do sleep 0.05; done")
        self.await_output(outcome, b"begun")
        self.type(outcome, resized(0, 80) + resized(65535, 65535) + resized(50, 132))
        self.await_output(outcome, b"50 132")
        self.assertNotIn(b"65535", outcome.stdout)

    def test_ctrl_c_interrupts_what_is_in_the_foreground_and_leaves_the_shell(self) -> None:
        outcome = self.open()
        # The program says itself that it has begun, so it has the terminal. Until it has, Ctrl-C reaches bash alone, and
        # a bash that is about to wait for the program takes notice only when the program has ended.
        self.type(outcome, typed(b"sh -c 'echo be\"\"gun; exec sleep 100'\r"))
        self.await_output(outcome, b"begun")
        before = len(outcome.stdout)
        self.type(outcome, typed(b"\x03"))
        self.await_output(outcome, b"$ ", after=before)
        self.type(outcome, typed(b"echo st''ill there\r"))
        self.await_output(outcome, b"still there")

    def test_ctrl_c_reaches_a_program_whose_output_nobody_reads(self) -> None:
        self.client.grant = False
        outcome = self.open("/bin/sh", "-c", "yes")
        self.await_output(outcome, b"y\r\ny\r\n")
        while len(outcome.stdout) < frames.INITIAL_CREDIT:
            outcome.printed.clear()
            if len(outcome.stdout) < frames.INITIAL_CREDIT:
                self.assertTrue(outcome.printed.wait(10))
        self.type(outcome, typed(b"\x03"))
        # What was on its way is still delivered, as far as it is granted.
        self.client.grant = True
        self.client.tell(frames.CREDIT, outcome, (1 << 20).to_bytes(4, "big"))
        self.assertEqual(self.await_end(outcome)["exit_code"], 130)

    def test_an_end_from_outside_hangs_up_and_what_ignores_that_is_killed(self) -> None:
        gentle = self.open()
        self.type(gentle, typed(b"echo be''gun\r"))
        self.await_output(gentle, b"begun")
        self.client.stop(gentle, b"i")
        self.assertFalse(self.await_end(gentle)["survivors"])
        stubborn = self.open("/bin/sh", "-c", "trap '' HUP INT TERM QUIT; echo begun; while :; do sleep 0.05; done")
        self.await_output(stubborn, b"begun")
        self.client.stop(stubborn, b"i")
        self.client.stop(stubborn, b"k")
        report = self.await_end(stubborn)
        self.assertEqual((report["signal"], report["survivors"]), (9, False))

    def test_what_left_the_group_and_the_session_ends_with_the_shell(self) -> None:
        outcome = self.open("/bin/sh", "-c", "setsid sleep 1000 & setsid sh -c 'sleep 1000 & sleep 1000' & sleep 0.2; echo $!")
        report = self.await_end(outcome)
        self.assertEqual((report["exit_code"], report["survivors"]), (0, False))
        pid = int(outcome.stdout.split()[-1])
        self.assertFalse(os.path.exists(f"/proc/{pid}"))

    def test_what_a_background_job_prints_without_end_does_not_hold_up_the_end_of_the_shell(self) -> None:
        outcome = self.open("/bin/sh", "-c", "yes & echo last; exit 3")
        self.assertEqual(self.await_end(outcome)["exit_code"], 3)
        self.assertIn(b"last", outcome.stdout)

    def test_all_that_was_printed_before_the_end_arrives(self) -> None:
        outcome = self.open("/bin/sh", "-c", "seq 20000; echo last")
        self.await_end(outcome)
        self.assertTrue(outcome.stdout.endswith(b"20000\r\nlast\r\n"))
        self.assertEqual(outcome.stdout.count(b"\n"), 20001)

    def test_a_long_paste_arrives_whole(self) -> None:
        outcome = self.open("/bin/sh", "-c", "stty raw -echo; echo begun; head -c 3000000 | cksum")
        self.await_output(outcome, b"begun")
        sent = b""
        piece = bytes(range(256)) * 64
        taken = 0
        while len(sent) < 3_000_000:
            sent += piece
            frame = typed(piece)
            while taken + len(frame) > outcome.credit:
                outcome.credited.clear()
                if taken + len(frame) > outcome.credit:
                    self.assertTrue(outcome.credited.wait(20))
            taken += len(frame)
            self.type(outcome, frame)
        self.await_end(outcome)
        self.assertIn(b" 3000000", outcome.stdout)

    def test_a_command_that_is_not_there_and_one_that_may_not_run_are_told_as_by_a_shell(self) -> None:
        for command, code, said in (("no-such-command", 127, b"No such file"), ("/etc/passwd", 126, b"Permission denied")):
            outcome = self.open(command)
            self.assertEqual(self.await_end(outcome)["exit_code"], code)
            self.assertIn(said, outcome.stdout)

    def test_a_signal_that_ends_the_program_is_told_as_by_a_shell(self) -> None:
        outcome = self.open("/bin/sh", "-c", "kill -TERM $$")
        self.assertEqual(self.await_end(outcome)["exit_code"], 143)
