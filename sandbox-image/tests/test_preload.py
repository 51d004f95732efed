"""Loaded modules, over the runner's channel. Needs the image with data packages, and an empty /workspace."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from typing import Any

from client import RUNNER, Client, Outcome, report_of

from _glovebox.wire import frames

FIND = "import sys; found = {0!r} in sys.modules; import {0}; print(found)"
"""Says whether a module was there before its import."""


class Preloading(Client):
    """With a preload setting; keeps the notes."""

    def __init__(self, setting: Any, door: str | None = None) -> None:
        self.notes: list[dict[str, str]] = []
        self.noted = threading.Event()
        super().__init__(door=door)
        self.send(frames.CONFIGURE, 0, json.dumps({"preload": setting}).encode())

    def _take(self, kind: int, stream: int, payload: bytes) -> None:
        if kind == frames.NOTE:
            self.notes.append(json.loads(payload)["preload_failed"])
            self.noted.set()
        else:
            super()._take(kind, stream, payload)

    def finds(self, name: str, **request: Any) -> bool:
        outcome = self.run(FIND.format(name), **request)
        if outcome.stderr:
            raise AssertionError(outcome.stderr.decode())
        return outcome.stdout == b"True\n"

    def find_soon(self, name: str) -> bool:
        """Whether a program finds it within some seconds."""
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if self.finds(name):
                return True
        return False


class PreloadTest(unittest.TestCase):
    def start(self, setting: Any) -> Preloading:
        client = Preloading(setting)
        self.addCleanup(lambda: client.process.poll() is None and client.close())
        return client

    def plant(self, path: str, text: str = "") -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        top = path.split("/")[2]
        self.addCleanup(lambda: shutil.rmtree(f"/workspace/{top}", True) or os.path.isfile(path) and os.unlink(path))

    def printed(self, outcome: Outcome) -> str:
        self.assertEqual((outcome.stderr, report_of(outcome).get("exit_code")), (b"", 0))
        return outcome.stdout.decode()

    def test_what_one_execution_imported_the_next_finds_loaded(self) -> None:
        client = self.start("adaptive")
        self.assertFalse(client.finds("numpy"))
        self.assertTrue(client.finds("numpy"))
        self.assertTrue(client.finds("numpy", context="a", results={"limit": 10_000, "total": 50_000}))

    def test_what_the_next_execution_adds_is_added(self) -> None:
        client = self.start("adaptive")
        client.finds("numpy")
        self.assertTrue(client.finds("numpy"))
        client.finds("networkx")
        self.assertTrue(client.finds("networkx"))
        self.assertTrue(client.finds("numpy"))

    def test_a_few_small_modules_are_not_worth_it(self) -> None:
        client = self.start("adaptive")
        for _ in range(3):
            self.assertFalse(client.finds("yaml"))

    def test_the_next_control_plane_finds_loaded_what_was_unless_it_wants_none(self) -> None:
        door = f"test-{os.urandom(6).hex()}"
        clients: list[Preloading] = []

        def connect(setting: Any) -> Preloading:
            if clients:
                assert clients[-1].process.stdin
                clients[-1].process.stdin.close()
            client = Preloading(setting, door)
            clients.append(client)
            self.addCleanup(client.process.wait, 5)
            self.addCleanup(client.process.kill)
            self.assertTrue(client.ready.wait(15))
            return client

        self.assertFalse(connect("adaptive").finds("numpy"))
        self.assertTrue(clients[0].find_soon("numpy"))
        self.assertTrue(connect("adaptive").finds("numpy"))
        self.assertFalse(connect("none").finds("numpy"))

    def test_none_loads_nothing(self) -> None:
        client = self.start("none")
        for _ in range(3):
            self.assertFalse(client.finds("numpy"))

    def test_a_list_is_loaded_before_the_first_execution(self) -> None:
        client = self.start(["yaml", "sqlite3"])
        self.assertTrue(client.finds("yaml"))
        self.assertTrue(client.finds("sqlite3"))

    def test_modules_that_cannot_be_had_are_told_of_and_the_others_are_loaded(self) -> None:
        client = self.start(["no_such_module", "yaml", "numpy.no_such_part", "numpy"])
        self.assertTrue(client.find_soon("yaml"))
        self.assertTrue(client.find_soon("numpy"))
        self.assertEqual([note["module"] for note in client.notes], ["no_such_module", "numpy.no_such_part"])
        self.assertIn("ModuleNotFoundError", client.notes[0]["reason"])

    def test_code_cannot_have_modules_of_its_own_or_of_the_standard_library_loaded(self) -> None:
        client = self.start("adaptive")
        client.run(
            "import os, numpy\n"
            "fd = max(int(n) for n in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{n}'))\n"
            "for fd in range(fd - 4, fd + 1):\n"
            "    try: os.write(fd, b'{\"imported\": [\"antigravity\", \"os;1\", 7, \"this\"]}\\n')\n"
            "    except OSError: pass\n"
            "os._exit(0)\n"
        )
        self.assertTrue(client.noted.wait(10))
        self.assertIn("not one of the image's packages", client.notes[0]["reason"])
        self.assertEqual(client.run("import sys; print('this' in sys.modules)").stdout, b"False\n")

    def test_random_numbers_are_each_executions_own(self) -> None:
        client = self.start(["numpy", "uuid", "ssl", "secrets", "tempfile", "multiprocessing", "sympy.core.random"])
        self.assertTrue(client.find_soon("sympy.core.random"))
        code = (
            "import sys; assert 'numpy' in sys.modules\n"
            "import random, uuid, ssl, secrets, tempfile, multiprocessing, numpy, sympy.core.random as symbolic\n"
            "print(random.random(), numpy.random.rand(), numpy.random.default_rng().random(), uuid.uuid4(), uuid.uuid1(),\n"
            "    ssl.RAND_bytes(8).hex(), secrets.token_hex(8), tempfile.mktemp(), symbolic.random(),\n"
            "    bytes(multiprocessing.current_process().authkey).hex())\n"
        )
        runs = [self.printed(client.run(code)).split() for _ in range(3)]
        for values in zip(*runs):
            self.assertEqual(len(set(values)), 3, values)

    def test_linear_algebra_and_worker_processes_work(self) -> None:
        client = self.start(["numpy"])
        self.assertTrue(client.find_soon("numpy"))
        outcome = client.run(
            "import multiprocessing, numpy\n"
            "a = numpy.ones((500, 500))\n"
            "def product(n): return float((a @ a)[0, 0]) * n\n"
            "print(product(1))\n"
            "with multiprocessing.Pool(2) as pool: print(pool.map(product, [1, 2]))\n"
        )
        self.assertEqual(self.printed(outcome), "500.0\n[500.0, 1000.0]\n")

    def test_a_plot_is_still_a_result(self) -> None:
        client = self.start(["matplotlib.pyplot"])
        self.assertTrue(client.find_soon("matplotlib.pyplot"))
        outcome = client.run(
            "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
            results={"limit": 1_000_000, "total": 2_000_000},
        )
        self.assertIn(b'"png"', outcome.display, outcome.stderr)

    def test_a_module_of_the_session_is_imported_instead(self) -> None:
        for path in ("/workspace/numpy/__init__.py", "/workspace/numpy.py"):
            with self.subTest(path):
                client = self.start(["numpy", "yaml"])
                self.assertTrue(client.find_soon("numpy"))
                client.run(f"import os\nos.makedirs(os.path.dirname({path!r}), exist_ok=True)\nopen({path!r}, 'w').write('mine = 1')")
                self.assertEqual(self.printed(client.run("import numpy; print(numpy.mine)")), "1\n")
                self.assertTrue(client.find_soon("yaml"), "what does not depend on it is loaded again")
                self.assertEqual(client.notes, [])
                client.run("import os, shutil\nshutil.rmtree('numpy', True)\nif os.path.exists('numpy.py'): os.unlink('numpy.py')")

    def test_a_folder_of_data_by_the_name_of_a_module_is_none_until_it_is_a_package(self) -> None:
        client = self.start(["numpy"])
        self.assertTrue(client.find_soon("numpy"))
        client.run("import os; os.mkdir('numpy'); open('numpy/data.csv', 'w')")
        self.addCleanup(shutil.rmtree, "/workspace/numpy")
        self.assertTrue(client.finds("numpy"))
        client.run("open('numpy/__init__.py', 'w').write('mine = 2')")
        self.assertEqual(self.printed(client.run("import numpy; print(numpy.mine)")), "2\n")

    def test_an_option_of_a_module_that_the_session_installs_counts(self) -> None:
        client = self.start(["pandas"])
        self.assertTrue(client.find_soon("pandas"))
        self.plant("/workspace/bottleneck.py", "__version__ = '0'")
        self.assertFalse(client.finds("numpy"))

    def test_the_environment_of_a_request_comes_before_its_imports(self) -> None:
        client = self.start(["yaml"])
        self.assertTrue(client.find_soon("yaml"))
        self.assertFalse(client.finds("yaml", env={"A": "1"}))
        self.assertTrue(client.finds("yaml"))

    def test_what_gives_access_to_tools_and_the_web_leaves_loaded_modules_to_the_code(self) -> None:
        client = self.start(["yaml"])
        self.assertTrue(client.find_soon("yaml"))
        access = {"GLOVEBOX_TOOLS_TOKEN": "a", "http_proxy": "http://glovebox:b@127.0.0.1:3143", "NO_PROXY": "localhost"}
        self.assertTrue(client.finds("yaml", env=access))
        self.assertFalse(client.finds("yaml", env={**access, "A": "1"}))

    def test_code_that_kills_or_stops_the_process_harms_nothing(self) -> None:
        client = self.start(["yaml"])
        for signal in (9, 19):
            self.assertTrue(client.find_soon("yaml"))
            outcome = client.run(
                "import os\n"
                "zygote = int(open(f'/proc/{os.getppid()}/stat').read().rpartition(')')[2].split()[1])\n"
                f"os.kill(zygote, {signal}); print('done')\n"
            )
            self.assertEqual(self.printed(outcome), "done\n")
            self.assertEqual(self.printed(client.run("print(1)")), "1\n")
        self.assertTrue(client.find_soon("yaml"))

    def test_the_process_with_the_modules_cannot_be_read_by_the_code(self) -> None:
        client = self.start(["yaml"])
        self.assertTrue(client.find_soon("yaml"))
        outcome = client.run(
            "import os\n"
            "zygote = int(open(f'/proc/{os.getppid()}/stat').read().rpartition(')')[2].split()[1])\n"
            "runner = int(open(f'/proc/{zygote}/stat').read().rpartition(')')[2].split()[1])\n"
            "print(b'runner' in open(f'/proc/{runner}/cmdline', 'rb').read())\n"
            "for name in ('mem', 'environ', 'fd/1'):\n"
            "    try: open(f'/proc/{zygote}/{name}', 'rb'); print('open', name)\n"
            "    except PermissionError: pass\n"
        )
        self.assertEqual(self.printed(outcome), "True\n")

    def test_a_request_that_is_stopped_while_it_waits_ends_at_once(self) -> None:
        client = self.start(["sklearn.linear_model"])
        outcome = client.start("import sklearn.linear_model\nimport time; time.sleep(30)")
        client.stop(outcome, frames.INTERRUPT)
        self.assertTrue(outcome.ended.wait(5))


ZYGOTE = """
import json, os, socket, sys
sys.path[:0] = [{runner!r}]
sys.path.append({site!r})
from _glovebox.program.zygote import Zygote
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
if os.fork() == 0:
    ours.close()
    Zygote(theirs, None).serve({{"import": [{module!r}]}})
theirs.close()
while message := ours.recv(100_000):
    print(message.decode(), flush=True)
    if b"loaded" in message: break
"""
"""Has a zygote import one module of a folder of packages; prints what it says."""

MODULES = {
    "threads": "import threading, time; threading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
    "files": "file = open('/dev/zero')",
    "leaves": "raise SystemExit(3)",
    "crashes": "import os; os.abort()",
    "prints": "print('hello'); import sys; print('there', file=sys.stderr)",
}


class ZygoteTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        self.site = f"{folder}/site-packages"
        os.mkdir(self.site)
        for name, text in MODULES.items():
            with open(f"{self.site}/{name}_module.py", "w") as file:
                file.write(text)

    def import_one(self, name: str) -> dict[str, Any]:
        """The last of what the zygote says."""
        code = ZYGOTE.format(runner=RUNNER, site=self.site, module=f"{name}_module")
        run = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, timeout=30, check=True)
        return json.loads(run.stdout.splitlines()[-1])

    def test_a_module_that_cannot_be_shared_ends_the_process_and_is_named(self) -> None:
        for name, reason in (("threads", "starts threads"), ("files", "keeps files open"), ("leaves", "SystemExit: 3")):
            with self.subTest(name):
                said = self.import_one(name)
                self.assertEqual(said["failed"], f"{name}_module")
                self.assertIn(reason, said["reason"])

    def test_a_module_that_crashes_takes_only_that_process_along(self) -> None:
        self.assertEqual(self.import_one("crashes"), {"began": "crashes_module"})

    def test_what_a_module_prints_goes_nowhere(self) -> None:
        self.assertIn("prints_module", self.import_one("prints")["loaded"])
