"""Runs cells in contexts, each in a process of its own as the program has it. Needs Linux and a writable /workspace."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from dataclasses import dataclass
from typing import Any

RUNNER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "runner")

DRIVER = """
import json, os, sys, time, types
runner, request, answer = sys.argv[1:]
published = []
results = types.ModuleType("displays")
updates = {}
results.publish = lambda bundle, display_id=None, update=False: (
    updates.update({display_id: bundle}) if update else published.append(bundle)
)
results.describe_known = lambda value: (
    {"shown": repr(value)} if type(value).__module__.startswith("matplotlib.") else None
)
results.is_empty_figure = lambda value: False
results.only = lambda bundle, include, exclude: bundle
sys.modules["_glovebox.display.displays"] = results
sys.modules["__main__"] = types.ModuleType("__main__")
sys.path[:0] = ["/workspace", runner]
os.chdir("/workspace")
from _glovebox.context.context import Context
from _glovebox.own_modules import hide_own
hide_own()
context = Context()
outcomes = []
for source in json.load(open(request)):
    files = [os.memfd_create(name) for name in ("stdout", "stderr")]
    for descriptor, file in enumerate(files, 1):
        os.dup2(file, descriptor)
    published.clear()
    updates.clear()
    started = time.monotonic()
    error = context.run(source, "test")
    outcomes.append({
        "stdout": os.pread(files[0], 1 << 24, 0).decode(), "stderr": os.pread(files[1], 1 << 24, 0).decode(),
        "results": [*published, *updates.values()], "error": error and repr(error)[:1000], "seconds": time.monotonic() - started,
    })
    for file in files:
        os.close(file)
json.dump(outcomes, open(answer, "w"))
"""


@dataclass
class Outcome:
    """What came of one cell."""

    stdout: str
    stderr: str
    results: list[dict[str, Any]]
    error: str | None
    seconds: float


def run(*sources: str) -> list[Outcome]:
    """Runs cells in a new context."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        request, answer = f"{directory}/request", f"{directory}/answer"
        with open(request, "w") as file:
            json.dump(sources, file)
        process = subprocess.run(
            [sys.executable, "-I", "-c", DRIVER, RUNNER, request, answer],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            env={**os.environ, "HOME": "/workspace"},
        )
        if not os.path.exists(answer):
            raise AssertionError(f"the context ended with {process.returncode}: {process.stderr.decode()}")
        with open(answer) as file:
            return [Outcome(**outcome) for outcome in json.load(file)]


class CellTest(unittest.TestCase):
    def test_variables_imports_and_directory_last(self) -> None:
        *_, last = run("import os\nx = 1", "%cd /tmp", "x += 1", "print(x, os.getcwd(), __name__)")
        self.assertEqual(last.stdout, "2 /tmp __main__\n")

    def test_all_cells_share_the_globals_of_main(self) -> None:
        outcomes = run(
            "class A:\n    x = 5",
            "import pickle, sys\n"
            "print(pickle.loads(pickle.dumps(A())).x, globals() is locals() is sys.modules['__main__'].__dict__)",
            "import multiprocessing as mp\ndef square(x): return x * x\n"
            "with mp.get_context('fork').Pool(2) as pool: print(pool.map(square, [2, 3]))",
        )
        self.assertEqual([outcome.stdout for outcome in outcomes[1:]], ["5 True\n", "[4, 9]\n"])

    def test_a_pool_works_with_the_functions_of_this_cell_and_of_later_ones_whatever_starts_its_processes(self) -> None:
        outcomes = run(
            "import multiprocessing as mp\ndef pools(f): return [pool(f, m) for m in mp.get_all_start_methods()]\n"
            "def pool(f, method):\n    with mp.get_context(method).Pool(1) as made: return made.map(f, [2, 3])",
            "def square(x): return x * x\nprint(pools(square))\n"
            "made = list(range(9))\ndef item(x): return made[x]\nwith mp.Pool(1) as made_by_default: print(made_by_default.map(item, [2]))",
            "def square(x): return -x * x\ndef double(x): return 2 * x\nprint(pools(square), pools(double))",
        )
        self.assertEqual(outcomes[1].stdout, f"{[[4, 9]] * 3}\n[2]\n", outcomes[1])
        self.assertEqual(outcomes[2].stdout, f"{[[-4, -9]] * 3} {[[4, 6]] * 3}\n", outcomes[2])

    def test_the_last_expression_is_a_result_and_underscore(self) -> None:
        outcomes = run("6 * 7", "_ + 1", "_, __, Out[1]", "7;", "x = 1", "None")
        self.assertEqual(
            [outcome.results for outcome in outcomes],
            [[{"text/plain": "42"}], [{"text/plain": "43"}], [{"text/plain": "(43, 42, 42)"}], [], [], []],
        )
        self.assertEqual("".join(outcome.stdout for outcome in outcomes), "")

    def test_out_keeps_a_few_small_values(self) -> None:
        sources = [f"'{n}'" for n in range(40)]
        *_, count = run(*sources, "len(Out)")
        self.assertEqual(count.results, [{"text/plain": "16"}])
        *_, held = run("class Big:\n    nbytes = 10**9\nBig()", "sorted(Out)")
        self.assertEqual(held.results, [{"text/plain": "[]"}])

    def test_display_publishes_bundles(self) -> None:
        shown, updated, cleared = run(
            "from IPython.display import HTML, display\ndisplay(HTML('<b>x</b>'), 'text')",
            "handle = display(0, display_id=True)\nfor n in range(100): handle.update(n)",
            "from IPython.display import clear_output\nclear_output(wait=True)\nprint(1)",
        )
        self.assertEqual([each.get("text/html") for each in shown.results], ["<b>x</b>", None])
        self.assertEqual(updated.results, [{"text/plain": "0"}, {"text/plain": "99"}])
        self.assertEqual((cleared.stdout, cleared.results), ("1\n", []))

    def test_a_plot_is_described_by_the_results(self) -> None:
        *_, last, displayed = run(
            "class Figure: pass\nFigure.__module__ = 'matplotlib.figure'", "Figure()", "display(Figure())"
        )
        self.assertIn("shown", last.results[0])
        self.assertIn("shown", displayed.results[0])

    def test_top_level_await_and_tasks_of_an_earlier_cell(self) -> None:
        *_, first, second, third = run(
            "import asyncio",
            "task = asyncio.create_task(asyncio.sleep(0, 7))\nawait asyncio.sleep(0)",
            "await task",
            "asyncio.run(asyncio.sleep(0, 8))",
        )
        self.assertIsNone(first.error)
        self.assertEqual((second.results, third.results), ([{"text/plain": "7"}], [{"text/plain": "8"}]))

    def test_a_context_imports_no_asyncio_before_its_code_does(self) -> None:
        before, _, after = run("import sys\n'asyncio' in sys.modules", "import asyncio.tasks", "'asyncio' in sys.modules")
        self.assertEqual((before.results, after.results), ([{"text/plain": "False"}], [{"text/plain": "True"}]))

    def test_where_a_thread_imports_asyncio_tasks_are_made_in_the_loop_of_the_cells_too(self) -> None:
        by_thread = "import threading\nt = threading.Thread(target=__import__, args=('asyncio',))\nt.start(); t.join()"
        *_, waited, loop = run(
            by_thread,
            "import asyncio\nasync def later(x): return x",
            "asyncio.get_event_loop().run_until_complete(later(1))",
            "task = asyncio.create_task(later(2))\nawait task, task.get_loop() is asyncio.get_running_loop()",
        )
        self.assertEqual(waited.results, [{"text/plain": "1"}])
        self.assertEqual(loop.results, [{"text/plain": "(2, True)"}])
        *_, own = run(
            by_thread,
            "import asyncio\nown = asyncio.new_event_loop()\nasyncio.set_event_loop(own)",
            "asyncio.get_event_loop() is own",
        )
        self.assertEqual(own.results, [{"text/plain": "True"}])

    def test_the_source_of_a_function_and_of_a_traceback_is_the_cells(self) -> None:
        _, source, traceback = run(
            "def half(x):\n    return x / 0", "import inspect\nprint(inspect.getsource(half), end='')", "\nhalf(1)"
        )
        self.assertEqual(source.stdout, "def half(x):\n    return x / 0\n")
        self.assertEqual(
            traceback.stderr,
            "Traceback (most recent call last):\n"
            '  File "<cell 3 of test>", line 2, in <module>\n    half(1)\n    ~~~~^^^\n'
            '  File "<cell 1 of test>", line 2, in half\n    return x / 0\n           ~~^~~\n'
            "ZeroDivisionError: division by zero\n",
        )

    def test_no_file_is_made(self) -> None:
        *_, last = run("%pwd", "%cd /workspace", "import os\nprint(sorted(os.listdir('/workspace')))")
        self.assertNotIn("ipython", last.stdout)


class EndTest(unittest.TestCase):
    def test_an_exit_ends_the_cell_and_keeps_the_context(self) -> None:
        *outcomes, last = run(
            "x = 1\nexit()\nx = 2", "exit", "quit(4)", "import sys; sys.exit(3)", "sys.exit('bye')", "x"
        )
        self.assertEqual(
            [outcome.error for outcome in outcomes],
            ["SystemExit(None)", "SystemExit(None)", "SystemExit(4)", "SystemExit(3)", "SystemExit('bye')"],
        )
        self.assertEqual("".join(outcome.stderr for outcome in outcomes), "")
        self.assertEqual(last.results, [{"text/plain": "1"}])

    def test_errors_are_shown_and_returned(self) -> None:
        cases = {
            "x = = 1": ("SyntaxError(", "SyntaxError: invalid syntax"),
            "  a\n b": ("IndentationError(", "unexpected indent"),
            "return 5": ("SyntaxError(", "    return 5\n"),
            "def f(): f()\nf()": ("RecursionError(", "RecursionError: maximum recursion depth"),
            "from contextlib import contextmanager as c\n@c\ndef f(): 1/0; yield\nwith f(): pass": (
                "ZeroDivisionError(",
                "contextlib.py",
            ),
            "%nosuch": ("UsageError(", "UsageError: Line magic function `%nosuch` not found."),
            "%time 1/0": ("ZeroDivisionError(", "ZeroDivisionError: division by zero"),
            "%run /nosuch.py": ("Exception(", "not found"),
            "raise ExceptionGroup('g', [ValueError(1)])": ("ExceptionGroup(", "ValueError: 1"),
            "class A:\n    def __repr__(self): 1/0\nA()": ("ZeroDivisionError(", "ZeroDivisionError"),
            "class E(Exception):\n    def __str__(self): 1/0\nraise E": ("", "exception str() failed"),
        }
        for outcome, (error, shown) in zip(run(*list(cases)[:-1]), cases.values()):
            self.assertTrue((outcome.error or "").startswith(error), outcome)
            self.assertIn(shown, outcome.stderr)
            self.assertEqual(outcome.stdout.replace("CPU times", "").count("Traceback"), 0)
            self.assertNotIn("IPython/core", outcome.stderr)
        (broken,) = run(list(cases)[-1])
        self.assertIn("exception str() failed", broken.stderr)

    def test_a_traceback_is_bounded(self) -> None:
        (outcome,) = run("raise ValueError('x' * 10_000_000 + 'end')")
        self.assertLess(len(outcome.stderr), 66_000)
        self.assertTrue(outcome.stderr.endswith("end\n"))

    def test_an_interrupt_ends_the_cell_and_keeps_the_state(self) -> None:
        setup = "import os, signal, threading, time, asyncio\nx = 1\n"
        soon = "threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        *outcomes, last = run(
            "raise KeyboardInterrupt",
            setup + "os.kill(os.getpid(), signal.SIGINT)\nx = 2",
            soon + "time.sleep(30)",
            soon + "while True: pass",
            soon + "await asyncio.sleep(30)",
            soon + "await asyncio.sleep(0)\nwhile True: pass",
            "asyncio.get_running_loop().call_later(0, os.kill, os.getpid(), signal.SIGINT)\nawait asyncio.sleep(30)",
            "!kill -INT $PPID; sleep 30",
            "!trap '' INT; kill -INT $PPID; sleep 30",
            "await asyncio.sleep(0.01)\nx",
        )
        for outcome in outcomes:
            self.assertEqual(outcome.error, "KeyboardInterrupt()", outcome)
            self.assertTrue(outcome.stderr.endswith("KeyboardInterrupt\n"), outcome)
            self.assertIn("<cell ", outcome.stderr)
            self.assertLess(outcome.seconds, 5)
        self.assertEqual(last.results, [{"text/plain": "1"}])


class StreamTest(unittest.TestCase):
    def test_streams_that_a_cell_broke_are_whole_in_the_next(self) -> None:
        for broken in (
            "import sys; sys.stdout.close(); sys.stderr.close()",
            "import sys; sys.stdout = sys.stderr = None",
            "import sys, io; sys.stdout = io.StringIO(); sys.stdout.close()",
            "import sys; del sys.stdout, sys.stderr",
        ):
            _, printed, failed = run(broken, "print('alive')", "1/0")
            self.assertEqual(printed.stdout, "alive\n", broken)
            self.assertIn("ZeroDivisionError", failed.stderr)

    def test_a_stream_of_the_codes_own_stays(self) -> None:
        *_, last = run("import sys, io\nsys.stdout = io.StringIO()", "print('kept')", "sys.stdout.getvalue()")
        self.assertEqual(last.results, [{"text/plain": "'kept\\n'"}])

    def test_input_without_stdin_ends_at_once(self) -> None:
        (outcome,) = run("input('name? ')")
        self.assertEqual((outcome.stdout, outcome.error), ("name? ", "EOFError('EOF when reading a line')"))

    def test_each_cell_reads_its_own_stdin(self) -> None:
        give = "import os\nr, w = os.pipe(); os.write(w, b'%s'); os.close(w); os.dup2(r, 0); os.close(r)\n"
        first, second = run(give % "1\\n2\\n" + "print(input())", give % "3\\n" + "print(input())")
        self.assertEqual((first.stdout, second.stdout), ("1\n", "3\n"))


class MagicTest(unittest.TestCase):
    def test_commands_share_the_cells_streams(self) -> None:
        both, script, failed, code, listed, captured = run(
            "print('a')\n!echo b; echo c >&2\nprint('d')",
            "%%bash\necho e",
            "%%bash\necho e\nexit 3",
            "!exit 3\nprint(_exit_code)",
            "names = !echo f\nprint(names[0])",
            "%%capture out\n!echo g",
        )
        self.assertEqual((both.stdout, both.stderr), ("a\nb\nd\n", "c\n"))
        self.assertEqual([script.stdout, code.stdout, listed.stdout, captured.stdout], ["e\n", "3\n", "f\n", ""])
        self.assertEqual((failed.stdout, (failed.error or "")[:21]), ("e\n", "CalledProcessError(3,"))

    def test_what_people_type_works(self) -> None:
        for outcome in run(
            "%matplotlib inline",
            "%config InlineBackend.figure_format = 'retina'",
            "%config IPCompleter.greedy = True",
            "%load_ext autoreload\n%autoreload 2",
            "%reset -f",
            "%%bash\ntrue",
            "import os\nif os.fork() == 0: os._exit(0)\nos.wait()[1] and None",
            "%%capture\nprint(1)",
        ):
            self.assertEqual((outcome.stdout, outcome.stderr, outcome.error), ("", "", None))
        for source, text in {
            "%timeit -n 1 -r 1 1 + 1": "per loop",
            "len?": "Return the number of items",
            "import inspect; inspect.unwrap??": None,
            "%pwd": None,
            "%who": "",
            "%history": "%history",
            "%pip --version": "pip ",
            "%env A=b": "env: A=b",
        }.items():
            (outcome,) = run(source)
            self.assertEqual((outcome.stderr, outcome.error), ("", None), source)
            self.assertIn(text or "", outcome.stdout)
            self.assertNotIn("\x1b", outcome.stdout)

    def test_what_pip_installs_is_importable_at_once(self) -> None:
        wheel = "/tmp/glovebox_probe-{}-py3-none-any.whl"
        build = (
            "import zipfile\n"
            "def build(version):\n"
            f"    with zipfile.ZipFile({wheel!r}.format(version), 'w') as file:\n"
            "        info = f'glovebox_probe-{version}.dist-info'\n"
            "        file.writestr('glovebox_probe.py', f'version = {version!r}')\n"
            "        file.writestr(f'{info}/METADATA', f'Metadata-Version: 2.1\\nName: glovebox-probe\\nVersion: {version}')\n"
            "        file.writestr(f'{info}/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any')\n"
            "        file.writestr(f'{info}/RECORD', f'glovebox_probe.py,,\\n{info}/METADATA,,\\n{info}/WHEEL,,\\n{info}/RECORD,,')\n"
            "build('1'); build('2')"
        )
        outcomes = run(
            build,
            f"%pip install {wheel.format(1)}\nimport glovebox_probe\nprint('have', glovebox_probe.version)",
            f"%pip install {wheel.format(2)}",
            "%pip uninstall -y glovebox-probe",
            f"!pip install --user {wheel.format(2)}",
            "import sys; del sys.modules['glovebox_probe']\nimport glovebox_probe; print(glovebox_probe.version)",
            "%pip uninstall -y glovebox-probe",
        )
        self.assertIn("Successfully installed", outcomes[1].stdout, outcomes[1].stderr)
        self.assertIn("have 1\n", outcomes[1].stdout)
        self.assertIn("Note: glovebox_probe was imported before", outcomes[2].stdout)
        self.assertEqual(outcomes[5].stdout, "2\n", outcomes[4])


class CostTest(unittest.TestCase):
    def test_memory_and_time_do_not_grow_with_cells(self) -> None:
        measure = (
            "import gc; gc.collect()\n"
            "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmRSS')][0])"
        )
        sources = [measure, *["x = 1"] * 1500, measure, *["def f(): return 'text'\nf()", "1/0"] * 1000, measure]
        outcomes = run(*sources[:1], *sources)
        before, middle, after = (
            int(outcome.stdout) for source, outcome in zip(sources, outcomes[1:]) if source == measure
        )
        self.assertLess(middle - before, 3000)
        self.assertLess(after - middle, 4000)
        times = sorted(outcome.seconds for source, outcome in zip(sources, outcomes[1:]) if source == "x = 1")
        self.assertLess(times[len(times) // 2], 0.002)


if __name__ == "__main__":
    unittest.main()
