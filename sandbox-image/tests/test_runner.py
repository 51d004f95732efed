"""Drives the runner over its channel, as the control plane does. Needs Linux and a writable /workspace."""

import os
import time
import unittest
from typing import Any

from client import Client, Outcome, report_of

from _glovebox.wire import frames


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

    def test_a_program_finds_its_arguments_after_its_own_name(self) -> None:
        outcome = self.client.run("import sys; print(sys.argv[1:], sys.orig_argv[1:] == sys.argv)", args=["-x", "", "ä b"])
        self.assertEqual(outcome.stdout.decode(), "['-x', '', 'ä b'] True\n")

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
            "def others():\n"
            "    for name in filter(str.isdigit, os.listdir('/proc')):\n"
            "        try: parent = int(open(f'/proc/{name}/stat').read().rpartition(')')[2].split()[1])\n"
            "        except OSError: continue\n"
            "        if parent == runner and int(name) != os.getppid(): yield int(name)\n"
            "while not (found := list(others())): pass\n"
            "for pid in found:\n"
            "    os.kill(pid, 9); print('killed')\n"
            "    while ') Z ' not in open(f'/proc/{pid}/stat').read(): pass\n"
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


RESULTS = {"limit": 10_000, "total": 50_000}


class UsageTest(unittest.TestCase):
    """What is told of executions that run."""

    def setUp(self) -> None:
        self.client = Client()
        self.addCleanup(lambda: self.client.process.poll() is None and self.client.close())

    def begin(self, code: str, **request: Any) -> Outcome:
        outcome = self.client.start(code, background={"timeout_s": 60}, **request)
        while b"begun" not in outcome.stdout:
            self.assertTrue(outcome.printed.wait(20), outcome)
            outcome.printed.clear()
        return outcome

    def test_time_of_all_its_processes_and_bytes_of_output(self) -> None:
        burn = "import time\nwhile time.process_time() < 0.3: pass"
        code = f"import subprocess, sys, time\nsubprocess.run([sys.executable, '-c', {burn!r}])\n"
        outcome = self.begin(code + "sys.stderr.write('four')\nsys.stderr.flush()\nprint('begun', flush=True)\ntime.sleep(60)")
        used = self.client.usage(outcome)
        self.assertGreaterEqual(used["cpu_ms"], 280)
        self.assertEqual((used["stdout"], used["stderr"]), (6, 4))

    def test_nothing_of_what_its_context_did_before(self) -> None:
        self.client.run("import time\nwhile time.process_time() < 0.5: pass\nprint('long ago')", context="c", results=RESULTS)
        outcome = self.begin("print('begun', flush=True)\ntime.sleep(60)", context="c", results=RESULTS)
        used = self.client.usage(outcome)
        self.assertLess(used["cpu_ms"], 300)
        self.assertEqual(used["stdout"], 6)

    def test_a_question_that_comes_too_late_has_no_answer(self) -> None:
        outcome = self.client.run("print(1)")
        self.client.tell(frames.ASK, outcome)
        self.assertEqual(self.client.run("print(2)").stdout, b"2\n")
        self.assertTrue(outcome.usages.empty())

if __name__ == "__main__":
    unittest.main()
