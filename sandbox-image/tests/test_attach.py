"""Lets one control plane after the other take a runner. Needs Linux and a writable /workspace."""

import contextlib
import json
import os
import queue
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest
from collections.abc import Callable
from typing import Any

from client import RUNNER, Client, Outcome, report_of

from _glovebox.paths import INDEX_ADDRESS, TOOLS_ADDRESS, WEB_ADDRESS
from _glovebox.wire import frames
from _glovebox.wire.tunnels import FIRST_STREAM, MAX_TUNNELS, WEB_WINDOW

KEEP = {"inline": 0, "limit": 1_000_000, "total": 10_000_000}
RESULTS = {"limit": 100_000, "total": 400_000}


def wait_for(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 10
    while not (value := what()):
        if time.monotonic() > deadline:
            raise AssertionError("it did not come about")
        time.sleep(0.005)
    return value


def runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return ""


class AttachTest(unittest.TestCase):
    def setUp(self) -> None:
        self.door = f"test-{os.urandom(6).hex()}"
        self.clients: list[Client] = []
        self.addCleanup(self.end_all)
        self.first = self.connect()

    def end_all(self) -> None:
        # The first is the runner itself; the others end when it lets go of them.
        for client in self.clients:
            client.process.kill()
            client.process.wait(5)
            for pipe in (client.process.stdin, client.process.stdout):
                assert pipe
                client.reader.join(5)
                pipe.close()

    def connect(self, generation: int | None = None) -> Client:
        client = Client(door=self.door, generation=generation)
        self.clients.append(client)
        self.assertTrue(client.ready.wait(15))
        return client

    def leave(self, client: Client) -> None:
        """As the engine shows a control plane's end to the runner: no more input, and output goes nowhere."""
        assert client.process.stdin
        client.process.stdin.close()

    def go_on(self) -> Client:
        """A new control plane, in the place of the first."""
        self.leave(self.clients[-1])
        return self.connect()

    def start_background(self, client: Client, code: str, timeout_s: float = 60, **request: Any) -> tuple[str, Outcome]:
        id = f"exe_{os.urandom(6).hex()}"
        background = {"timeout_s": timeout_s}
        return id, client.start(code, keep={"id": id, **KEEP}, background=background, results=RESULTS, **request)

    def kept(self, id: str, name: str = "stdout") -> str:
        return read(f"/workspace/.glovebox/outputs/{id}.{name}")

    def adopted(self, client: Client, id: str) -> tuple[dict[str, Any], Outcome]:
        assert client.adopted
        about = next(about for about in client.adopted["executions"] if about["id"] == id)
        return about, client.outcomes[about["stream"]]

    def test_a_new_runner_says_nothing_of_an_earlier_one(self) -> None:
        self.assertIsNone(self.first.adopted)

    def test_the_next_control_plane_finds_an_idle_runner_and_works_with_it(self) -> None:
        second = self.go_on()
        self.assertEqual(second.adopted, {"contexts": [], "executions": []})
        self.assertEqual(second.run("print(1)").stdout, b"1\n")
        third = self.go_on()
        self.assertEqual(third.run("print(2)").stdout, b"2\n")
        wait_for(lambda: second.process.poll() is not None)
        self.assertIsNone(self.first.process.poll())

    def test_input_of_a_call_that_had_not_begun_went_to_one_of_the_next_control_plane(self) -> None:
        # Its files never come, so whatever comes after it waits.
        self.first.start("", kind="archive", file={"op": "restore", "path": ""}, stdin_stream=True)
        waiting = self.first.start("", stdin_stream=True, stdin_granted=1000)
        self.first.tell(frames.DATA, waiting, b"stale")
        self.leave(self.first)
        second = self.connect()
        second.run("pass")
        outcome = second.start("import sys; print(sys.stdin.buffer.read())", stdin_stream=True)
        self.assertTrue(outcome.credited.wait(10))
        second.tell(frames.DATA, outcome, b"own")
        second.tell(frames.FIN, outcome)
        self.assertTrue(outcome.ended.wait(10))
        self.assertEqual(outcome.stdout, b"b'own'\n")

    def test_a_control_plane_of_a_lower_generation_is_refused_and_the_present_one_works_on(self) -> None:
        claimed = self.connect(3)
        self.assertEqual(claimed.greeting["generation"], 3)
        begun = claimed.start("import time; print('begun', flush=True); time.sleep(1); print('done')")
        self.assertTrue(begun.printed.wait(10))
        for generation in (None, 0, 2):
            late = self.connect(generation)
            self.assertEqual(late.greeting, {"protocol": 1, "refused": "generation", "generation": 3})
            # Its exec ends too.
            self.assertEqual(late.process.wait(10), 0)
        self.assertTrue(begun.ended.wait(10))
        self.assertEqual(begun.stdout, b"begun\ndone\n")
        self.assertEqual(self.connect(3).run("print(1)").stdout, b"1\n")

    def test_a_control_plane_of_a_lower_generation_is_refused_when_the_present_one_has_gone(self) -> None:
        self.leave(self.connect(1 << 40))
        self.assertEqual(self.connect((1 << 40) - 1).greeting["refused"], "generation")
        self.assertEqual(self.connect(1 << 40).run("print(1)").stdout, b"1\n")

    def test_a_runner_that_was_started_for_a_generation_refuses_lower_ones(self) -> None:
        self.door += "-claimed"
        self.connect(2)
        self.assertEqual(self.connect(1).greeting["refused"], "generation")
        self.assertNotIn("refused", self.connect(2).greeting)

    def test_a_context_keeps_its_variables(self) -> None:
        self.first.run("x = 41", context="c", results=RESULTS)
        second = self.go_on()
        assert second.adopted
        self.assertEqual(second.adopted["contexts"], ["c"])
        outcome = second.run("print(x + 1)", context="c", results=RESULTS)
        self.assertEqual(outcome.stdout, b"42\n")
        self.assertIs(report_of(outcome)["context_created"], False)

    def test_calls_under_way_are_ended_before_the_next_control_plane_is_let_in(self) -> None:
        stubborn = self.first.start(
            "import os, signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint(os.getpid())\ntime.sleep(60)"
        )
        flood = self.first.start("import os\nprint(os.getpid())\nwhile True: print('x' * 1000)")
        for outcome in (stubborn, flood):
            wait_for(lambda outcome=outcome: b"\n" in outcome.stdout)
        second = self.go_on()
        for outcome in (stubborn, flood):
            self.assertFalse(runs(int(outcome.stdout.split()[0])))
        assert second.adopted
        self.assertEqual(second.adopted["executions"], [])

    def test_a_call_in_a_context_is_interrupted_and_the_context_lives(self) -> None:
        self.first.run("x = 1", context="c", results=RESULTS)
        outcome = self.first.start("print(1)\nimport time\ntime.sleep(60)", context="c", results=RESULTS)
        self.assertTrue(outcome.printed.wait(5))
        second = self.go_on()
        self.assertEqual(second.run("print(x)", context="c", results=RESULTS).stdout, b"1\n")

    def test_a_background_execution_goes_on_and_its_output_is_whole(self) -> None:
        code = "import time\nfor n in range(400):\n  print(n, flush=True)\n  time.sleep(0.002)\ndisplay({'n': n})"
        id, outcome = self.start_background(self.first, code)
        self.assertTrue(outcome.printed.wait(5))
        second = self.go_on()
        about, rest = self.adopted(second, id)
        self.assertGreater(about["ran_ms"], 0)
        self.assertTrue(rest.ended.wait(10))
        self.assertEqual(report_of(rest)["exit_code"], 0)
        self.assertEqual(self.kept(id), "".join(f"{n}\n" for n in range(400)))
        self.assertIn('"n"', self.kept(id, "display").replace("'", '"'))

    def test_a_background_execution_that_ended_meanwhile_is_told_of(self) -> None:
        code = (
            "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\nprint('x' * 500_000)\nraise SystemExit(3)"
        )
        id, _ = self.start_background(self.first, code)
        self.leave(self.first)
        with open("/workspace/go", "w"):
            pass
        self.addCleanup(os.unlink, "/workspace/go")
        wait_for(lambda: len(self.kept(id)) == 500_001)
        _, outcome = self.adopted(self.connect(), id)
        self.assertTrue(outcome.ended.wait(5))
        self.assertEqual(report_of(outcome)["exit_code"], 3)
        self.assertEqual(report_of(outcome)["kept"]["stdout"]["bytes"], 500_001)

    def test_an_end_that_was_told_is_told_again_to_the_next_control_plane(self) -> None:
        id, outcome = self.start_background(self.first, "print(1)")
        self.assertTrue(outcome.ended.wait(5))
        _, again = self.adopted(self.go_on(), id)
        self.assertTrue(again.ended.wait(5))
        self.assertEqual(report_of(again), report_of(outcome))

    def test_a_background_execution_past_its_time_is_ended_while_nobody_is_there(self) -> None:
        code = "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)"
        id, outcome = self.start_background(self.first, code, timeout_s=0.5)
        self.assertTrue(outcome.printed.wait(5))
        pid = int(outcome.stdout)
        self.assertTrue(runs(pid))
        self.leave(self.first)
        wait_for(lambda: not runs(pid))
        about, outcome = self.adopted(self.connect(), id)
        self.assertEqual(about["ended_by"], "interrupt")
        self.assertTrue(outcome.ended.wait(5))

    def test_the_newest_control_plane_wins_over_one_whose_end_was_not_seen(self) -> None:
        self.first.run("x = 1", context="c", results=RESULTS)
        second = self.connect()
        self.assertEqual(second.run("print(x)", context="c", results=RESULTS).stdout, b"1\n")

    def test_code_that_calls_at_the_door_is_not_let_in(self) -> None:
        code = (
            "import socket, os\ncall = socket.socket(socket.AF_UNIX)\n"
            f"call.connect('\\0{self.door}')\nsocket.send_fds(call, [b'x'], [0, 1, 2])\nprint(call.recv(1))\n"
        )
        outcome = self.first.run(code)
        self.assertIn(outcome.stdout, (b"b''\n", b""), outcome.stderr)
        self.assertEqual(self.first.run("print(1)").stdout, b"1\n")

    def test_a_name_that_code_has_taken_is_not_handed_the_channel(self) -> None:
        taken = f"taken-{os.urandom(6).hex()}"
        code = (
            "import socket, time\nlistener = socket.socket(socket.AF_UNIX)\n"
            f"listener.bind('\\0{taken}')\nlistener.listen()\nprint(1, flush=True)\ntime.sleep(60)"
        )
        squatter = self.first.start(code)
        self.assertTrue(squatter.printed.wait(5))
        attempt = subprocess.run([sys.executable, "-I", RUNNER, taken], capture_output=True, timeout=10, check=False)
        self.assertNotEqual(attempt.returncode, 0)
        self.assertEqual(attempt.stdout, b"")
        self.first.stop(squatter, frames.KILL)

    def test_connections_to_the_index_end_and_new_ones_wait_for_the_next_control_plane(self) -> None:
        opened: list[int] = []
        self.first._take = lambda kind, stream, payload: opened.append(stream)  # type: ignore[method-assign]
        with socket.create_connection(INDEX_ADDRESS) as connection:
            wait_for(lambda: opened)
            self.leave(self.first)
            self.assertEqual(connection.recv(1), b"")
        with socket.create_connection(INDEX_ADDRESS):
            second = Client(door=self.door)
            self.clients.append(second)
            take, reopened = second._take, []
            second._take = lambda kind, stream, payload: (  # type: ignore[method-assign]
                reopened.append(stream) if stream >= FIRST_STREAM else take(kind, stream, payload)
            )
            wait_for(lambda: reopened)
            self.assertGreater(reopened[0], opened[0])

    def opened_by(self, client: Client) -> list[tuple[int, bytes]]:
        """Streams of the tunnels that a client is told of from now on, with their services."""
        take, opened = client._take, []

        def take_frame(kind: int, stream: int, payload: bytes) -> None:
            if kind == frames.OPEN:
                opened.append((stream, bytes(payload)))
            elif stream < FIRST_STREAM:
                take(kind, stream, payload)

        client._take = take_frame  # type: ignore[method-assign]
        return opened

    def configure(self, client: Client, **configuration: Any) -> None:
        client.send(frames.CONFIGURE, 0, json.dumps({"preload": "none", **configuration}).encode())
        # What comes after it is handled after it.
        client.run("pass")

    def test_tools_are_listened_for_only_when_the_control_plane_has_them(self) -> None:
        opened = self.opened_by(self.first)
        self.assertRaises(ConnectionRefusedError, socket.create_connection, TOOLS_ADDRESS)
        self.configure(self.first, tools=True)
        with socket.create_connection(TOOLS_ADDRESS), socket.create_connection(INDEX_ADDRESS):
            wait_for(lambda: len(opened) == 2)
        self.assertEqual(sorted(service for _, service in opened), [b"", b"tools"])
        self.configure(self.first)
        self.assertRaises(ConnectionRefusedError, socket.create_connection, TOOLS_ADDRESS)

    def test_the_web_is_listened_for_beside_tools_and_only_when_the_control_plane_has_it(self) -> None:
        opened = self.opened_by(self.first)
        self.configure(self.first, tools=True, web=True)
        with socket.create_connection(WEB_ADDRESS), socket.create_connection(TOOLS_ADDRESS):
            wait_for(lambda: len(opened) == 2)
        self.assertEqual(sorted(service for _, service in opened), [b"tools", b"web"])
        self.configure(self.first, tools=True)
        self.assertRaises(ConnectionRefusedError, socket.create_connection, WEB_ADDRESS)
        with socket.create_connection(TOOLS_ADDRESS):
            wait_for(lambda: len(opened) == 3)

    def test_more_may_be_on_its_way_to_the_web_from_the_start(self) -> None:
        frames_seen: list[tuple[int, bytes]] = []
        take = self.first._take
        self.first._take = lambda kind, stream, payload: (  # type: ignore[method-assign]
            frames_seen.append((kind, bytes(payload))) if stream >= FIRST_STREAM else take(kind, stream, payload)
        )
        self.configure(self.first, web=True)
        with socket.create_connection(WEB_ADDRESS):
            wait_for(lambda: len(frames_seen) == 2)
        more = (WEB_WINDOW - frames.INITIAL_CREDIT).to_bytes(4, "big")
        self.assertEqual(frames_seen[:2], [(frames.OPEN, b"web"), (frames.CREDIT, more)])

    def test_what_passes_to_and_from_the_web_stays_as_it_is(self) -> None:
        sent = os.urandom(5 * WEB_WINDOW)
        came: queue.SimpleQueue[tuple[int, int, bytes]] = queue.SimpleQueue()
        take = self.first._take
        self.first._take = lambda kind, stream, payload: (  # type: ignore[method-assign]
            came.put((kind, stream, bytes(payload))) if stream >= FIRST_STREAM else take(kind, stream, payload)
        )

        def echo() -> None:
            left = len(sent)
            while left:
                kind, stream, payload = came.get()
                if kind == frames.OPEN:
                    self.first.send(frames.CREDIT, stream, len(sent).to_bytes(4, "big"))
                elif kind == frames.DATA:
                    self.first.send(frames.DATA, stream, payload)
                    left -= len(payload)

        self.configure(self.first, web=True)
        thread = threading.Thread(target=echo, daemon=True)
        thread.start()
        got = bytearray()
        with socket.create_connection(WEB_ADDRESS) as connection:
            # No more at once than may be on its way back.
            for at in range(0, len(sent), WEB_WINDOW // 4):
                connection.sendall(sent[at : at + WEB_WINDOW // 4])
                while len(got) < at + WEB_WINDOW // 4:
                    got += connection.recv(1 << 20)
        self.assertEqual(bytes(got), sent)
        thread.join()

    def test_connections_to_the_web_wait_until_the_next_control_plane_says_that_it_has_it(self) -> None:
        self.configure(self.first, web=True)
        second = self.go_on()
        reopened = self.opened_by(second)
        with socket.create_connection(WEB_ADDRESS):
            second.run("pass")
            self.assertEqual(reopened, [])
            self.configure(second, web=True)
            wait_for(lambda: reopened)
        self.assertEqual(reopened[0][1], b"web")

    def test_connections_to_tools_wait_until_the_next_control_plane_says_that_it_has_them(self) -> None:
        opened = self.opened_by(self.first)
        self.configure(self.first, tools=True)
        with socket.create_connection(TOOLS_ADDRESS) as connection:
            wait_for(lambda: opened)
            second = self.go_on()
            self.assertEqual(connection.recv(1), b"")
        reopened = self.opened_by(second)
        with socket.create_connection(TOOLS_ADDRESS):
            second.run("pass")
            self.assertEqual(reopened, [])
            self.configure(second, tools=True)
            wait_for(lambda: reopened)
        self.assertEqual(reopened[0][1], b"tools")
        self.assertGreater(reopened[0][0], opened[0][0])

    def test_a_control_plane_without_tools_refuses_connections_that_waited_for_them(self) -> None:
        self.configure(self.first, tools=True)
        second = self.go_on()
        with socket.create_connection(TOOLS_ADDRESS) as connection:
            self.configure(second)
            self.assertRaises(ConnectionResetError, connection.recv, 1)

    def test_connections_to_tools_leave_room_for_those_to_the_index(self) -> None:
        opened = self.opened_by(self.first)
        self.configure(self.first, tools=True)
        with contextlib.ExitStack() as held:
            for _ in range(MAX_TUNNELS):
                held.enter_context(socket.create_connection(TOOLS_ADDRESS))
            wait_for(lambda: len(opened) == MAX_TUNNELS)
            with socket.create_connection(TOOLS_ADDRESS) as surplus:
                self.assertEqual(surplus.recv(1), b"")
            with socket.create_connection(INDEX_ADDRESS):
                wait_for(lambda: opened[-1][1] == b"")

    def test_no_descriptor_is_left_of_earlier_channels(self) -> None:
        # A runner's descriptors cannot be listed, but they can be made few.
        self.door += "-few"
        usual = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (48, usual[1]))
        try:
            self.connect().run("x = 1", context="c", results=RESULTS)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, usual)
        for _ in range(25):
            self.assertEqual(self.go_on().run("print(1)").stdout, b"1\n")
        wait_for(lambda: all(client.process.poll() is not None for client in self.clients[2:-1]))

    def test_no_descriptor_of_a_channel_is_seen_by_programs(self) -> None:
        code = "import os\nprint(sorted(int(n) for n in os.listdir('/proc/self/fd') if int(n) < 900))"
        before = self.first.run(code).stdout
        self.assertEqual(self.go_on().run(code).stdout, before)

    def test_a_runner_that_is_killed_is_followed_by_a_new_one(self) -> None:
        self.first.run("x = 1", context="c", results=RESULTS)
        os.kill(self.first.process.pid, signal.SIGKILL)
        self.first.process.wait(5)
        second = self.connect()
        self.assertIsNone(second.adopted)
        self.assertIs(report_of(second.run("pass", context="c", results=RESULTS))["context_created"], True)


if __name__ == "__main__":
    unittest.main()
