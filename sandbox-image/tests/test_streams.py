"""Input and output of executions: credit, order, and what is kept in files. Needs Linux and a writable /workspace."""

import hashlib
import json
import os
import unittest

from client import Client, report_of

from _glovebox.runner import stdin_stream
from _glovebox.wire import frames


class DecoderTest(unittest.TestCase):
    def test_frames_come_whole_and_contents_in_pieces_however_they_are_cut(self) -> None:
        wire = b"".join(
            frames.pack(kind, stream, payload)
            for kind, stream, payload in (
                (frames.START, 1, b'{"code": ""}'),
                (frames.DATA, 1, b"abcdefgh"),
                (frames.DATA, 1, b""),
                (frames.CREDIT, 2, bytes(4)),
                (frames.DATA, 2, b"ij"),
                (frames.FIN, 1, b""),
            )
        )
        for size in range(1, len(wire) + 1):
            decoder = frames.Decoder()
            heard: list[tuple[int, int, bytes]] = []
            for at in range(0, len(wire), size):
                for kind, stream, payload in decoder.feed(wire[at : at + size]):
                    if kind == frames.DATA and heard[-1][:2] == (kind, stream):
                        heard[-1] = (kind, stream, heard[-1][2] + payload)
                    else:
                        heard.append((kind, stream, bytes(payload)))
            kinds = [frames.START, frames.DATA, frames.CREDIT, frames.DATA, frames.FIN]
            self.assertEqual([kind for kind, _, _ in heard], kinds)
            self.assertEqual([stream for _, stream, _ in heard], [1, 1, 2, 2, 1])
            self.assertEqual([payload for _, _, payload in heard], [b'{"code": ""}', b"abcdefgh", bytes(4), b"ij", b""])


class StreamsTest(unittest.TestCase):
    def setUp(self) -> None:
        self.client = Client()
        self.addCleanup(lambda: self.client.process.poll() is None and self.client.close())

    def test_a_ping_comes_back_while_a_program_runs_and_while_none_does(self) -> None:
        self.client.send(frames.PING, 0, b"\x00\xffeither")
        self.assertEqual(self.client.pongs.get(timeout=20), b"\x00\xffeither")
        outcome = self.client.start("input()", stdin_stream=True)
        self.client.send(frames.PING, 0, b"a second")
        self.assertEqual(self.client.pongs.get(timeout=20), b"a second")
        self.client.tell(frames.FIN, outcome)
        self.assertTrue(outcome.ended.wait(20))

    def test_streamed_input_arrives_whole_and_in_order(self) -> None:
        outcome = self.client.start(
            "import sys, hashlib\ndata = sys.stdin.buffer.read()\nprint(len(data), hashlib.md5(data).hexdigest())",
            stdin_stream=True,
        )
        data = os.urandom(3_000_000)
        sent = 0
        while sent < len(data):
            self.assertTrue(outcome.credited.wait(10))
            outcome.credited.clear()
            part = data[sent : outcome.credit]
            for at in range(0, len(part), 60_000):
                self.client.tell(frames.DATA, outcome, part[at : at + 60_000])
            sent += len(part)
        self.client.tell(frames.FIN, outcome)
        self.assertTrue(outcome.ended.wait(10))
        self.assertEqual(outcome.stdout.decode(), f"{len(data)} {hashlib.md5(data).hexdigest()}\n")

    def test_input_that_comes_before_its_program_is_there_waits_for_it(self) -> None:
        outcome = self.client.start(
            "import sys; print(len(sys.stdin.buffer.read()))", stdin_stream=True, stdin_granted=stdin_stream.CREDIT
        )
        self.client.tell(frames.DATA, outcome, b"x" * 200_000)
        self.client.tell(frames.DATA, outcome, b"x" * 100_000)
        self.client.tell(frames.FIN, outcome)
        self.assertTrue(outcome.ended.wait(10))
        self.assertEqual(outcome.stdout, b"300000\n")
        self.assertLess(outcome.credit, stdin_stream.CREDIT)

    def test_what_is_to_run_in_a_restored_session_waits_for_its_files(self) -> None:
        restore = {"op": "restore", "path": ""}
        granted = {"stdin_stream": True, "stdin_granted": stdin_stream.CREDIT}
        outcome = self.client.start("", kind="archive", file=restore, **granted)
        self.addCleanup(os.unlink, "/workspace/restored")
        after = self.client.start("import os; print(os.path.getsize('restored'))")
        # Time enough to run it, if it did not wait.
        self.assertFalse(after.ended.wait(0.3))
        entry = {"path": "restored", "type": "file", "size": 5, "mode": 0o644, "modified_ms": 0}
        lines = json.dumps(entry).encode() + b"\n" + b"hello"
        self.client.tell(frames.DATA, outcome, len(lines).to_bytes(4, "big") + lines + bytes(4))
        self.client.tell(frames.FIN, outcome)
        self.assertTrue(after.ended.wait(10))
        self.assertEqual(json.loads(outcome.stdout), {"ok": True, "entries": 1, "missing": 0})
        self.assertEqual(after.stdout, b"5\n")
        self.assertEqual(report_of(after)["files"], [])

    def test_input_that_the_program_does_not_read_is_taken_all_the_same(self) -> None:
        os.mkfifo("/workspace/end")
        self.addCleanup(os.unlink, "/workspace/end")
        outcome = self.client.start("import os\nos.close(0)\nprint('closed')\nopen('/workspace/end').read()", stdin_stream=True)
        self.assertTrue(outcome.printed.wait(10))
        self.assertTrue(outcome.credited.wait(10))
        outcome.credited.clear()
        # As many as are granted again at once, however many come in one reading.
        size = stdin_stream._LEAST_GRANT
        self.client.tell(frames.DATA, outcome, b"x" * size)
        # Not before it was taken: of a program that has ended nothing more is told.
        self.assertTrue(outcome.credited.wait(10))
        with open("/workspace/end", "w"):
            pass
        self.assertTrue(outcome.ended.wait(10))
        self.assertEqual(report_of(outcome)["exit_code"], 0)
        self.assertEqual(outcome.credit, stdin_stream.CREDIT + size)

    def test_several_pieces_of_input_that_waited_when_a_program_closed_it_ended_the_runner(self) -> None:
        for name in ("full", "end"):
            os.mkfifo(f"/workspace/{name}")
            self.addCleanup(os.unlink, f"/workspace/{name}")
        code = "import os\nopen('full').read()\nos.close(0)\nprint('closed')\nopen('end').read()"
        outcome = self.client.start(code, stdin_stream=True, stdin_granted=stdin_stream.CREDIT)
        size = stdin_stream._LEAST_GRANT // 4
        for _ in range(stdin_stream.CREDIT // size):
            self.client.tell(frames.DATA, outcome, bytes(size))
        # The runner takes frames in order, so it has all of the input when this has run.
        self.assertEqual(self.client.run("print(1)").stdout, b"1\n")
        with open("/workspace/full", "w"):
            pass
        self.assertTrue(outcome.printed.wait(10))
        while outcome.credit < stdin_stream.CREDIT:
            self.assertTrue(outcome.credited.wait(10))
            outcome.credited.clear()
        with open("/workspace/end", "w"):
            pass
        self.assertTrue(outcome.ended.wait(10))
        self.assertEqual(report_of(outcome)["exit_code"], 0)
        self.assertEqual(self.client.run("print(2)").stdout, b"2\n")

    def test_output_beyond_the_inline_limit_is_kept_in_a_file_up_to_its_limit(self) -> None:
        keep = {"id": "exe_1", "inline": 1000, "limit": 50_000, "total": 120_000}
        outcome = self.client.run("for i in range(20_000): print(i)", keep=keep)
        kept = report_of(outcome)["kept"]
        facts = {"path": ".glovebox/outputs/exe_1.stdout", "bytes": 50_000, "total": len(outcome.stdout)}
        self.assertEqual(kept, {"stdout": facts})
        with open(f"/workspace/{kept['stdout']['path']}", "rb") as file:
            self.assertEqual(file.read(), outcome.stdout[:50_000])

    def test_short_output_is_kept_nowhere(self) -> None:
        keep = {"id": "exe_2", "inline": 1000, "limit": 50_000, "total": 120_000}
        self.assertNotIn("kept", report_of(self.client.run("print('x' * 900)", keep=keep)))

    def test_the_oldest_kept_output_makes_room_for_the_newest(self) -> None:
        for number in range(4):
            keep = {"id": f"room_{number}", "inline": 0, "limit": 50_000, "total": 100_000}
            self.client.run("print('x' * 60_000)", keep=keep)
        there = [number for number in range(4) if os.path.exists(f"/workspace/.glovebox/outputs/room_{number}.stdout")]
        self.assertEqual(there, [2, 3])

    def test_an_interrupted_program_leaves_the_stack_of_every_thread(self) -> None:
        outcome = self.client.start(
            "import threading, time\n"
            "def waits(): print('ready'); time.sleep(60)\n"
            "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
            "waits()\n"
        )
        self.assertTrue(outcome.printed.wait(10))
        self.client.stop(outcome, frames.INTERRUPT)
        self.assertTrue(outcome.ended.wait(10))
        main, other = report_of(outcome)["stacks"]
        self.assertEqual(main["thread"], "MainThread")
        self.assertRegex(main["frames"][-1], r'^File ".*/main.py", line 2, in waits$')
        self.assertRegex(main["frames"][0], r'^File ".*/main.py", line 4, in <module>$')
        self.assertIn("in run", other["frames"][-1])


if __name__ == "__main__":
    unittest.main()
