"""Calls of tools from code, over a small real door."""

import asyncio
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
import unittest

from tools_case import SITE_PACKAGES, ToolsCase
from tools_door import TOKEN, until

import tools
from glovebox_tools import _connection
from glovebox_tools._frames import HIDDEN_FILE


def shown_of(error: BaseException) -> list[str]:
    """Names of the functions in a traceback as the runner shows it."""
    return [frame.name for frame in traceback.extract_tb(error.__traceback__) if frame.filename != HIDDEN_FILE]


def call_in_process(number: int) -> object:
    return tools.github.echo(number=number)


class CallsTest(ToolsCase):
    def test_a_call_sends_its_arguments_by_the_servers_own_names_and_returns_the_value(self) -> None:
        self.assertEqual(tools.github.echo(a=1, b=[None, True, "ü"]), {"a": 1, "b": [None, True, "ü"]})
        request = self.door.requests[-1]
        self.assertEqual(request["token"], "secret")
        self.assertEqual((request["op"], request["server"], request["tool"]), ("call", "github", "echo"))

    def test_tools_are_found_by_their_names_for_python_and_by_those_of_the_server(self) -> None:
        by_attribute = tools.github.list_issues
        self.assertIs(tools["github"]["list-issues"], by_attribute)
        self.assertIs(tools["github"]["list_issues"], by_attribute)
        self.assertEqual(tools.my_files.import_.tool, "import")
        self.assertIs(tools["my-files"], tools.my_files)

    def test_the_catalog_is_asked_for_once_and_connections_are_used_again(self) -> None:
        for number in range(10):
            tools.github.echo(number=number)
        self.assertEqual([request["op"] for request in self.door.requests], ["catalog", *["call"] * 10])
        self.assertEqual(self.door.connections, 1)

    def test_another_token_has_a_catalog_and_connections_of_its_own(self) -> None:
        tools.github.echo()
        self.door.tokens.add("second")
        os.environ[TOKEN] = "second"
        tools.github.echo()
        self.assertEqual([request["op"] for request in self.door.requests], ["catalog", "call"] * 2)
        self.assertEqual([request["token"] for request in self.door.requests], ["secret"] * 2 + ["second"] * 2)
        self.assertEqual(self.door.connections, 2)

    def test_without_a_token_calls_are_denied_with_the_argument_that_gives_tools(self) -> None:
        github = tools.github
        del os.environ[TOKEN]
        for call in (lambda: tools.github, lambda: github.echo(), lambda: tools.search("x")):
            error = self.error_of(call)
            self.assertEqual(error.code, "denied")
            self.assertIn("execute_python", error.hint)
            self.assertIn("tools", error.hint)
        self.assertEqual(dir(tools), ["ToolError", "aio", "map", "search"])
        self.assertFalse(hasattr(tools, "_repr_html_"))

    def test_a_failure_is_an_error_with_code_message_and_hint(self) -> None:
        error = self.error_of(tools.github.fail)
        self.assertEqual((error.code, error.message, error.hint), ("upstream", "It went wrong.", "Try again."))
        self.assertEqual(str(error), "upstream: It went wrong.\nTry again.")
        again = pickle.loads(pickle.dumps(error))
        self.assertEqual((type(again), again.args), (tools.ToolError, error.args))

    def test_what_is_not_there_is_named_with_the_nearest_name(self) -> None:
        error = self.error_of(lambda: tools.gitub)
        self.assertEqual(error.code, "denied")
        self.assertIn("'github'", error.hint)
        error = self.error_of(lambda: tools.github.list_isues)
        self.assertEqual(error.code, "bad_arguments")
        self.assertIn("'list_issues'", error.hint)
        self.assertFalse(hasattr(tools, "gitub") or hasattr(tools.github, "list_isues"))
        self.assertIs(type(pickle.loads(pickle.dumps(error))), tools.ToolError)

    def test_a_server_that_has_failed_says_why_and_is_asked_for_again(self) -> None:
        error = self.error_of(lambda: tools.broken.anything)
        self.assertEqual((error.code, error.message), ("upstream", "It does not answer."))
        self.error_of(lambda: tools.broken.anything)
        self.assertEqual([request["op"] for request in self.door.requests], ["catalog"] * 2)

    def test_a_request_that_is_too_long_is_not_sent(self) -> None:
        error = self.error_of(tools.github.echo, text="x" * _connection.MOST_BYTES)
        self.assertEqual(error.code, "limit")
        self.assertEqual(self.door.calls(), [])

    def test_a_long_answer_comes_whole(self) -> None:
        value = {"rows": ["x" * 1000] * 10_000}
        self.door.parts = [{"type": "json", "value": value}]
        self.assertEqual(tools.github.parts(), value)

    def test_a_connection_that_ends_without_an_answer_is_an_error_that_says_so(self) -> None:
        tools.github.echo()
        thread = threading.Thread(target=lambda: (self.door.waiting.acquire(), self.door.end_connections()))
        thread.start()
        error = self.error_of(tools.github.wait)
        thread.join()
        self.assertEqual(error.code, "client_gone")
        self.assertIn("may have been made", error.message)

    def test_an_idle_connection_that_has_ended_is_replaced(self) -> None:
        tools.github.echo()
        self.door.end_connections()
        self.assertEqual(tools.github.echo(a=1), {"a": 1})

    def test_nobody_who_listens_is_an_error(self) -> None:
        github = tools.github
        self.door.close()
        self.assertEqual(self.error_of(github.echo).code, "client_gone")

    def test_an_error_begins_at_the_line_of_the_code(self) -> None:
        for call in (lambda: tools.github.fail(), lambda: tools.none, lambda: tools.github.none(a=1)):
            error = self.error_of(call)
            self.assertEqual(shown_of(error), ["caught", "<lambda>"])
            self.assertTrue("".join(traceback.format_exception_only(error)).startswith("glovebox_tools.ToolError: "))


class ThreadsTest(ToolsCase):
    def test_calls_of_threads_run_at_the_same_time(self) -> None:
        self.door.together = threading.Barrier(8)
        self.assertEqual(
            tools.map(lambda n: tools.github.echo(n=n)["n"], range(8)),
            list(range(8)),
        )

    def test_map_keeps_the_order_and_takes_tools_with_dicts(self) -> None:
        values = tools.map(tools.github.echo, [{"n": n} for n in range(50)], limit=20)
        self.assertEqual([value["n"] for value in values], list(range(50)))
        self.assertEqual(self.error_of(tools.map, tools.github.echo, [1]).code, "bad_arguments")
        self.assertEqual(tools.map(str, []), [])
        self.assertRaises(ValueError, tools.map, str, [1], limit=0)
        self.assertRaises(ValueError, tools.map, str, [1], errors="ignore")

    def test_map_raises_the_first_error_when_all_have_ended_or_returns_each(self) -> None:
        ended: list[int] = []

        def divide(n: int) -> float:
            try:
                return 1 / (n % 3)
            finally:
                ended.append(n)

        error = self.caught(ZeroDivisionError, tools.map, divide, range(9))
        self.assertEqual(sorted(ended), list(range(9)))
        self.assertEqual(shown_of(error), ["caught", "divide"])
        kinds = [type(value).__name__ for value in tools.map(divide, range(4), errors="return")]
        self.assertEqual(kinds, ["ZeroDivisionError", "float", "float", "ZeroDivisionError"])
        # An exception that is a result is none that was raised.
        self.assertIsInstance(tools.map(lambda n: ValueError(n), [1])[0], ValueError)

    def test_more_calls_than_connections_wait_for_one(self) -> None:
        echo = tools.github.echo
        threads = [threading.Thread(target=echo, kwargs={"n": n}) for n in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(call["n"] for call in self.door.calls()), list(range(200)))

    def test_an_interrupt_ends_the_call_and_goes_through(self) -> None:
        threading.Thread(target=lambda: (self.door.waiting.acquire(), os.kill(os.getpid(), signal.SIGINT))).start()
        error = self.caught(KeyboardInterrupt, lambda: tools.github.wait())
        self.assertTrue(self.door.aborted.wait(10))
        self.assertEqual(shown_of(error), ["caught", "<lambda>"])
        self.assertEqual(tools.github.echo(a=1), {"a": 1})

    def test_an_interrupt_ends_the_calls_of_map(self) -> None:
        wait = tools.github.wait

        def interrupt() -> None:
            for _ in range(4):
                self.door.waiting.acquire()
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        with self.assertRaises(KeyboardInterrupt):
            tools.map(lambda _: wait(), range(100), limit=4)
        self.assertTrue(self.door.aborted.wait(10))
        until(lambda: not _connection._connections._active)
        self.assertEqual(len(self.door.calls()), 4)


class ProcessesTest(ToolsCase):
    def test_a_forked_process_has_connections_of_its_own(self) -> None:
        tools.github.echo()
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(writer, str(tools.github.echo(a=2)).encode())
            os._exit(0)
        self.assertEqual(tools.github.echo(a=1), {"a": 1})
        self.assertEqual(os.waitpid(pid, 0)[1], 0)
        os.close(writer)
        with open(reader) as pipe:
            self.assertEqual(pipe.read(), "{'a': 2}")
        self.assertEqual(self.door.connections, 2)

    def test_a_process_forked_during_a_call_does_not_keep_its_connection_open(self) -> None:
        wait = tools.github.wait
        errors: list[BaseException] = []

        def call() -> None:
            try:
                wait()
            except tools.ToolError as error:
                errors.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        self.door.waiting.acquire()
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
        _connection.abort([thread.ident or 0])
        self.assertTrue(self.door.aborted.wait(10))
        thread.join()
        os.close(writer)
        os.close(reader)
        os.waitpid(pid, 0)
        self.assertEqual(len(errors), 1)

    def test_processes_of_multiprocessing_call_tools(self) -> None:
        for method in ("fork", "spawn"):
            with self.subTest(method):
                context = multiprocessing.get_context(method)
                path = os.environ.get("PYTHONPATH")
                os.environ["PYTHONPATH"] = SITE_PACKAGES
                try:
                    with context.Pool(2) as pool:
                        self.assertEqual(pool.map(call_in_process, range(3)), [{"number": n} for n in range(3)])
                        self.assertEqual(pool.apply(tools.github.echo, kwds={"a": 1}), {"a": 1})
                finally:
                    os.environ.pop("PYTHONPATH")
                    if path is not None:
                        os.environ["PYTHONPATH"] = path

    def test_a_python_that_the_code_starts_calls_tools(self) -> None:
        code = "import tools; print(tools.github.echo(a=1))"
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": SITE_PACKAGES}, capture_output=True, timeout=20
        )
        self.assertEqual(done.stdout, b"{'a': 1}\n", done.stderr)


class AsyncTest(ToolsCase):
    def test_calls_run_at_the_same_time(self) -> None:
        self.door.together = threading.Barrier(20)

        async def main() -> list[object]:
            return await asyncio.gather(*(tools.aio.github.echo(n=n) for n in range(20)))

        self.assertEqual(asyncio.run(main()), [{"n": n} for n in range(20)])

    def test_more_calls_than_connections_wait_for_one(self) -> None:
        async def main() -> list[dict[str, int]]:
            return await asyncio.gather(*(tools.aio.github.echo(n=n) for n in range(200)))

        self.assertEqual([value["n"] for value in asyncio.run(main())], list(range(200)))
        self.assertLessEqual(self.door.connections, 200)

    def test_one_after_the_other_uses_the_same_connection_also_in_another_loop(self) -> None:
        async def main() -> None:
            for _ in range(5):
                await tools.aio["github"]["echo"]()

        asyncio.run(main())
        asyncio.run(main())
        tools.github.echo()
        self.assertEqual(self.door.connections, 1)

    def test_a_cancelled_call_ends(self) -> None:
        async def main() -> None:
            task = asyncio.create_task(tools.aio.github.wait())
            await asyncio.to_thread(self.door.waiting.acquire)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task

        asyncio.run(main())
        self.assertTrue(self.door.aborted.wait(10))

    def test_errors_are_the_same_and_begin_at_the_line_of_the_code(self) -> None:
        async def main() -> None:
            await tools.aio.github.fail()

        error = self.error_of(asyncio.run, main())
        self.assertEqual(error.code, "upstream")
        self.assertEqual(shown_of(error)[-1], "main")
        self.assertEqual(self.error_of(asyncio.run, tools.aio.github.none(a=1)).code, "bad_arguments")

    def test_names_are_those_of_tools(self) -> None:
        self.assertEqual(dir(tools.aio), ["broken", "github", "my_files"])
        self.assertEqual(dir(tools.aio.github), dir(tools.github))
        self.assertEqual(self.error_of(lambda: tools.aio.gitub).code, "denied")
        self.assertFalse(hasattr(tools.aio, "__wrapped__"))


if __name__ == "__main__":
    unittest.main()
