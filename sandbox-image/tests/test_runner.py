"""Drives the runner over its channel, as the control plane does. Needs Linux and a writable /workspace."""

import hashlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

RUNNER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "runner")
sys.path.insert(0, RUNNER)

from _glovebox import linux  # noqa: E402
from _glovebox.packages import missing_module  # noqa: E402
from _glovebox.packages.list_packages import find_distributions  # noqa: E402
from _glovebox.packages.module_names import explain  # noqa: E402
from _glovebox.runner import memory_kills, stdin_stream  # noqa: E402
from _glovebox.runner.execution import Execution  # noqa: E402
from _glovebox.runner.runner import Runner  # noqa: E402
from _glovebox.wire import frames  # noqa: E402


@dataclass
class Outcome:
    """What came back of one execution."""

    stdout: bytes = b""
    stderr: bytes = b""
    report: dict[str, Any] | None = None
    display: bytes = b""
    credit: int = 0
    """Bytes of input that the runner takes in all."""
    credited: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    printed: threading.Event = field(default_factory=threading.Event)


class Client:
    """The control plane's half of a channel, on threads."""

    def __init__(self, grant: bool = True, door: str | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", RUNNER, *([door] if door else [])], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self.grant = grant
        self.outcomes: dict[int, Outcome] = {}
        self.ready = threading.Event()
        self.adopted: dict[str, Any] | None = None
        """What the runner says that an earlier control plane left."""
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        decoder = frames.Decoder()
        while data := self.process.stdout.read(1 << 16):
            for kind, stream, payload in decoder.feed(data):
                self._take(kind, stream, payload)

    def _take(self, kind: int, stream: int, payload: bytes) -> None:
        if kind == frames.READY:
            self.adopted = json.loads(payload).get("adopted")
            for execution in (self.adopted or {}).get("executions", ()):
                self.outcomes[execution["stream"]] = Outcome()
            self.ready.set()
            return
        outcome = self.outcomes[stream]
        if kind == frames.END:
            outcome.report = json.loads(payload)
            outcome.ended.set()
            return
        if kind == frames.CREDIT:
            outcome.credit += int.from_bytes(payload, "big")
            outcome.credited.set()
            return
        if kind == frames.STDOUT:
            outcome.stdout += payload
        elif kind == frames.STDERR:
            outcome.stderr += payload
        else:
            outcome.display += payload
        outcome.printed.set()
        if self.grant:
            self.send(frames.CREDIT, stream, len(payload).to_bytes(4, "big"))

    def send(self, kind: int, stream: int, payload: bytes) -> None:
        assert self.process.stdin
        try:
            self.process.stdin.write(frames.pack(kind, stream, payload))
        except (OSError, ValueError):
            # A test has ended the runner, or closed its stdin, while output was on its way.
            pass

    def start(self, code: str, **request: Any) -> Outcome:
        stream = len(self.outcomes) + 1
        outcome = self.outcomes[stream] = Outcome()
        self.send(frames.START, stream, json.dumps({"code": code, **request}).encode())
        return outcome

    def stop(self, outcome: Outcome, how: bytes) -> None:
        self.tell(frames.STOP, outcome, how)

    def tell(self, kind: int, outcome: Outcome, payload: bytes = b"") -> None:
        stream = next(key for key, value in self.outcomes.items() if value is outcome)
        self.send(kind, stream, payload)

    def run(self, code: str, **request: Any) -> Outcome:
        outcome = self.start(code, **request)
        if not outcome.ended.wait(20):
            raise AssertionError(f"no end; so far {outcome.stdout!r} {outcome.stderr!r}")
        return outcome

    def close(self) -> int:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        code = self.process.wait(5)
        self.reader.join(5)
        self.process.stdout.close()
        return code


def report_of(outcome: Outcome) -> dict[str, Any]:
    assert outcome.report is not None
    return outcome.report


class RunnerTest(unittest.TestCase):
    def setUp(self) -> None:
        self.client = Client()
        self.addCleanup(lambda: self.client.process.poll() is None and self.client.close())

    def test_code_runs_as_a_script_would(self) -> None:
        outcome = self.client.run(
            "import sys, os, inspect\n"
            "def f(): pass\n"
            "print(__name__, sys.argv == [__file__], os.getcwd(), sys.path[0], __spec__)\n"
            "print(inspect.getsource(f), end='')\n"
            "print(sys.stdin.read() == '', '_glovebox' in sys.modules, '_glovebox.wire.frames' in sys.modules)\n"
        )
        self.assertEqual(outcome.stderr, b"")
        self.assertEqual(
            outcome.stdout, b"__main__ True /workspace /workspace None\ndef f(): pass\nTrue False False\n"
        )
        self.assertEqual(report_of(outcome)["exit_code"], 0)

    def test_executions_share_no_globals_and_no_process(self) -> None:
        first = self.client.run("import os; x = 1; print(os.getpid())")
        second = self.client.run("import os; print(os.getpid(), 'x' in globals())")
        self.assertNotEqual(first.stdout.split()[0], second.stdout.split()[0])
        self.assertIn(b"False", second.stdout)

    def test_exit_codes_are_the_programs_own(self) -> None:
        for code, expected in (
            ("import sys; sys.exit(7)", 7),
            ("import sys; sys.exit('why')", 1),
            ("raise SystemExit", 0),
            ("import os; os._exit(9)", 9),
            ("1/0", 1),
            ("def (", 1),
        ):
            with self.subTest(code):
                self.assertEqual(report_of(self.client.run(code))["exit_code"], expected)

    def test_an_exception_is_shown_and_reported_without_the_runners_frames(self) -> None:
        outcome = self.client.run("def f():\n    raise ValueError('no')\nf()")
        error = report_of(outcome)["error"]
        self.assertEqual((error["name"], error["value"]), ("ValueError", "no"))
        self.assertEqual(outcome.stderr.decode(), error["traceback"])
        self.assertEqual(error["traceback"].count("File "), 2)
        self.assertIn("raise ValueError('no')", error["traceback"])

    def test_the_programs_own_excepthook_is_called(self) -> None:
        outcome = self.client.run("import sys; sys.excepthook = lambda *a: print('mine'); 1/0")
        self.assertEqual(outcome.stdout, b"mine\n")
        self.assertEqual(outcome.stderr, b"")

    def test_a_syntax_error_after_main_was_removed_is_not_reported(self) -> None:
        outcome = self.client.run("import sys; del sys.modules['__main__']; compile('x = = 1', 'x', 'exec')")
        self.assertEqual(report_of(outcome)["error"]["name"], "SyntaxError")
        self.assertEqual(report_of(outcome)["exit_code"], 1)

    def test_interpreter_shutdown_runs_whole(self) -> None:
        outcome = self.client.run(
            "import atexit, threading, time\n"
            "class Late:\n    def __del__(self): print('deleted')\n"
            "late = Late()\n"
            "atexit.register(print, 'atexit')\n"
            "threading.Thread(target=lambda: (time.sleep(0.05), print('thread'))).start()\n"
            "print('main', end='')\n"
        )
        self.assertEqual(outcome.stdout, b"mainthread\natexit\ndeleted\n")

    def test_stdin_and_environment_are_given_up_front(self) -> None:
        outcome = self.client.run(
            "import os; print(input(), input(), os.environ['A'], os.environ['HOME'])", stdin="1\n2\n", env={"A": "ü"}
        )
        self.assertEqual(outcome.stdout, "1 2 ü /workspace\n".encode())

    def test_each_line_arrives_when_it_is_printed(self) -> None:
        outcome = self.client.start("print('first'); input_never = __import__('time').sleep(30)")
        self.assertTrue(outcome.printed.wait(5))
        self.assertFalse(outcome.ended.is_set())
        self.client.stop(outcome, frames.KILL)
        self.assertTrue(outcome.ended.wait(5))
        self.assertEqual(report_of(outcome)["signal"], 9)

    def test_an_interrupt_is_a_keyboard_interrupt(self) -> None:
        outcome = self.client.start(
            "import time\ntry:\n    print('up')\n    time.sleep(30)\nexcept KeyboardInterrupt:\n    print('caught')"
        )
        outcome.printed.wait(5)
        self.client.stop(outcome, frames.INTERRUPT)
        self.assertTrue(outcome.ended.wait(5))
        self.assertEqual(outcome.stdout, b"up\ncaught\n")

    def test_what_a_program_leaves_behind_is_gone_before_its_end(self) -> None:
        outcome = self.client.run(
            "import os, time\n"
            "if os.fork() == 0:\n"
            "    os.setsid()\n"
            "    if os.fork() == 0:\n"
            "        print(os.getpid(), flush=True); time.sleep(60)\n"
            "    os._exit(0)\n"
            "os.wait()\n"
            "time.sleep(0.1)\n"
        )
        self.assertFalse(os.path.exists(f"/proc/{int(outcome.stdout)}"))
        self.assertFalse(report_of(outcome)["survivors"])

    def test_changed_files_are_named_once(self) -> None:
        first = self.client.run("open('a b.txt', 'w').write('12'); import os; os.makedirs('.cache/x', exist_ok=True)")
        self.assertEqual(report_of(first)["files"], [{"path": "a b.txt", "size": 2}])
        for _ in range(20):
            self.assertEqual(report_of(self.client.run("pass"))["files"], [])
        again = self.client.run("import os; os.rename('a b.txt', 'c'); os.utime('c', (0, 0))")
        self.assertEqual(report_of(again)["files"], [{"path": "c", "size": 2}])
        os.unlink("/workspace/c")

    def test_output_stops_at_the_credit_and_goes_on_when_granted(self) -> None:
        client = Client(grant=False)
        flood = client.start("print('x' * 1_000_000)")
        while len(flood.stdout) < frames.INITIAL_CREDIT:
            time.sleep(0.01)
        other = client.run("print('not held up')")
        self.assertEqual(other.stdout, b"not held up\n")
        self.assertEqual(len(flood.stdout), frames.INITIAL_CREDIT)
        client.send(frames.CREDIT, 1, (1_000_000).to_bytes(4, "big"))
        self.assertTrue(flood.ended.wait(5))
        self.assertEqual(len(flood.stdout), 1_000_001)
        client.close()

    def test_a_program_that_ends_while_its_credit_is_used_up_loses_no_output(self) -> None:
        client = Client(grant=False)
        outcome = client.start("import sys; sys.stdout.write('x' * 300_000)")
        while len(outcome.stdout) < frames.INITIAL_CREDIT:
            time.sleep(0.01)
        # The rest lies in the pipe, whose writer is gone.
        self.assertEqual(client.run("print(1)").stdout, b"1\n")
        client.send(frames.CREDIT, 1, (300_000).to_bytes(4, "big"))
        self.assertTrue(outcome.ended.wait(5))
        self.assertEqual(len(outcome.stdout), 300_000)
        client.close()

    def test_closing_the_standard_streams_does_not_end_an_execution(self) -> None:
        outcome = self.client.run("import os; os.close(1); os.close(2); os.close(0); open('/workspace/alive','w').close()")
        self.assertEqual(report_of(outcome)["files"], [{"path": "alive", "size": 0}])
        os.unlink("/workspace/alive")

    def test_bytes_written_to_every_descriptor_harm_nothing_but_the_own_output(self) -> None:
        outcome = self.client.run(
            "import os\nfor fd in range(1024):\n    try: os.write(fd, b'\\0\\0\\0\\5\\x13\\0\\0\\0\\1hello')\n    except OSError: pass\n"
        )
        self.assertEqual(report_of(outcome)["exit_code"], 0)
        self.assertIsNone(report_of(outcome)["error"])
        self.assertEqual(self.client.run("print(1)").stdout, b"1\n")

    def test_a_killed_supervisor_is_told_of_at_once(self) -> None:
        outcome = self.client.run("import os, time; os.kill(os.getppid(), 9); time.sleep(30)")
        self.assertEqual(report_of(outcome)["failed"], "supervisor lost")

    def test_the_runner_and_the_supervisor_cannot_be_read_by_the_code(self) -> None:
        if os.getuid() == 0:
            self.skipTest("root reads all")
        outcome = self.client.run(
            "import os\n"
            "supervisor = os.getppid()\n"
            "runner = int(open(f'/proc/{supervisor}/stat').read().split()[3])\n"
            "for pid in (supervisor, runner):\n"
            "    for name in ('mem', 'environ', 'fd/1'):\n"
            "        try: open(f'/proc/{pid}/{name}', 'rb'); print('open', name)\n"
            "        except PermissionError: pass\n"
            "print(open('/proc/self/oom_score_adj').read().strip(), os.access('/proc/self/mem', os.W_OK))\n"
        )
        self.assertEqual(outcome.stdout, b"1000 True\n", outcome.stderr)

    def test_multiprocessing_works_with_every_start_method(self) -> None:
        outcome = self.client.run(
            "import multiprocessing as mp\n"
            "def square(x): return x * x\n"
            "if __name__ == '__main__':\n"
            "    for method in mp.get_all_start_methods():\n"
            "        with mp.get_context(method).Pool(2) as pool: print(method, pool.map(square, [2, 3]))\n"
        )
        self.assertEqual(outcome.stderr, b"")
        self.assertEqual(outcome.stdout.count(b"[4, 9]"), 3)

    def test_a_pool_of_a_script_without_a_guard_works_with_every_start_method(self) -> None:
        outcome = self.client.run(
            "import multiprocessing as mp, os\n"
            "from concurrent.futures import ProcessPoolExecutor\n"
            "STEP = 10\n"
            "steps = list(range(20))\n"
            "def add(x): return x + STEP\n"
            "def add_made(x): return x + steps[STEP]\n"
            "print('once')\n"
            "for method in mp.get_all_start_methods():\n"
            "    with mp.get_context(method).Pool(2) as pool: print(pool.map(add, [2, 3]))\n"
            "with ProcessPoolExecutor(2) as pool: print(list(pool.map(add_made, [2, 3])))\n"
            "print(os.path.dirname(__file__))\n"
        )
        self.assertEqual(outcome.stderr, b"")
        *lines, directory = outcome.stdout.decode().splitlines()
        self.assertEqual(lines, ["once", *["[12, 13]"] * 4])
        self.assertFalse(os.path.exists(directory))

    def test_many_at_once_keep_their_output_apart(self) -> None:
        outcomes = [self.client.start(f"for _ in range(1000): print({n})") for n in range(4)]
        for n, outcome in enumerate(outcomes):
            self.assertTrue(outcome.ended.wait(20))
            self.assertEqual(outcome.stdout, f"{n}\n".encode() * 1000)

    def test_a_program_that_kills_its_successor_harms_only_what_is_under_way(self) -> None:
        outcome = self.client.run(
            "import os, signal\n"
            "runner = int(open(f'/proc/{os.getppid()}/stat').read().split()[3])\n"
            "for name in filter(str.isdigit, os.listdir('/proc')):\n"
            "    try: parent = int(open(f'/proc/{name}/stat').read().rpartition(')')[2].split()[1])\n"
            "    except OSError: continue\n"
            "    if parent == runner and int(name) != os.getppid():\n"
            "        os.kill(int(name), 9); print('killed')\n"
            "        while ') Z ' not in open(f'/proc/{name}/stat').read(): pass\n"
        )
        self.assertIn(b"killed\n", outcome.stdout)
        self.assertEqual(self.client.run("print(1)").stdout, b"1\n")

    def test_usage_is_the_executions_own(self) -> None:
        busy = report_of(self.client.run("b = bytearray(50_000_000)\nfor _ in range(1_000_000): pass"))
        idle = report_of(self.client.run("pass"))
        self.assertGreater(busy["cpu_ms"], idle["cpu_ms"])
        self.assertGreater(busy["peak_memory_bytes"], 50_000_000)
        self.assertLess(idle["peak_memory_bytes"], 30_000_000)

    def test_the_runner_ends_with_its_control_plane_and_takes_the_programs_along(self) -> None:
        outcome = self.client.start("import os, time; print(os.getpid()); time.sleep(60)")
        outcome.printed.wait(5)
        self.assertEqual(self.client.close(), 0)
        deadline = time.monotonic() + 5
        while os.path.exists(f"/proc/{int(outcome.stdout)}") and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertFalse(os.path.exists(f"/proc/{int(outcome.stdout)}"))

    def test_a_planted_module_is_never_on_the_runners_path(self) -> None:
        with open("/workspace/json.py", "w") as file:
            file.write("raise SystemExit(3)")
        self.addCleanup(os.unlink, "/workspace/json.py")
        client = Client()
        self.assertTrue(client.ready.wait(5))
        client.close()


class MemoryKillsTest(unittest.TestCase):
    """Executions that ran beside each other while the memory limit ended processes."""

    def setUp(self) -> None:
        self.executions: list[Execution] = []

    def begin(self) -> Execution:
        ours, _ = socket.socketpair()
        self.addCleanup(ours.close)
        execution = Execution(0, ours, -1, {})
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


class StandbyTest(unittest.TestCase):
    def test_a_process_that_had_said_that_it_ends_was_given_a_request_before_it_had_ended(self) -> None:
        runner = Runner(None)
        ours, theirs = socket.socketpair()
        request_out, request_in = os.pipe()
        self.addCleanup(os.close, request_out)
        spare = Execution(os.getpid(), ours, request_in, {})
        with ours, theirs:
            runner.standby._take(spare)
            theirs.sendall(json.dumps(frames.NO_PROCESS).encode() + b"\n")
            runner.on_supervisor(spare, ours.fileno(), select.EPOLLIN)
            self.assertIsNone(runner.standby.ready)

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


class StreamsTest(unittest.TestCase):
    def setUp(self) -> None:
        self.client = Client()
        self.addCleanup(lambda: self.client.process.poll() is None and self.client.close())

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
        self.client.tell(frames.DATA, outcome, b"x" * 300_000)
        # Not before it was taken: of a program that has ended nothing more is told.
        self.assertTrue(outcome.credited.wait(10))
        with open("/workspace/end", "w"):
            pass
        self.assertTrue(outcome.ended.wait(10))
        self.assertEqual(report_of(outcome)["exit_code"], 0)
        self.assertEqual(outcome.credit, stdin_stream.CREDIT + 300_000)

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


class InstalledTest(unittest.TestCase):
    def test_lists_what_the_image_holds(self) -> None:
        found = {name: (version, source) for name, version, source in find_distributions()}
        self.assertIn("pip", found)
        self.assertEqual(found["pip"][1], "image")

    def test_an_execution_can_list(self) -> None:
        client = Client()
        outcome = client.run("", kind="packages")
        client.close()
        self.assertIn("pip", [package["name"] for package in json.loads(outcome.stdout)])


if __name__ == "__main__":
    unittest.main()


class ModuleNamesTest(unittest.TestCase):
    def test_a_slip_of_the_pen_is_one_letter_or_two_in_the_wrong_order(self) -> None:
        for slip in ("pandsa", "panda", "pandass", "pamdas"):
            self.assertTrue(missing_module._nearly(slip, "pandas"), slip)
        for other in ("pandas", "pan", "polars", "geopandas", "adnpas"):
            self.assertFalse(missing_module._nearly(other, "pandas"), other)

    def test_a_version_asks_for_the_project_of_that_name(self) -> None:
        self.assertIsNotNone(explain("docx", "docx>0.1"))
        self.assertIsNotNone(explain("docx", "docx; python_version == '3.13'"))
        self.assertIsNone(explain("docx", "docx==0.2.4"))
        self.assertIsNone(explain("cowsay", "cowsay"))
