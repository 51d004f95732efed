"""Drives commands over the runner's channel. Needs Linux, bash and a writable /workspace."""

import json
import os
import shutil
import subprocess
import sys
import time
import unittest
from typing import Any

from client import RUNNER, Client, Outcome, report_of

from _glovebox.wire import frames

COMMANDS_FOLDER = "/workspace/commands"


class CommandTest(unittest.TestCase):
    def setUp(self) -> None:
        self.client = Client()
        self.addCleanup(lambda: self.client.process.poll() is None and self.client.close())
        os.makedirs(COMMANDS_FOLDER, exist_ok=True)
        self.addCleanup(shutil.rmtree, COMMANDS_FOLDER, True)

    def run_command(self, line: str | list[str], **request: Any) -> Outcome:
        return self.client.run("", kind="command", command=line, **request)

    def start_command(self, line: str | list[str], **request: Any) -> Outcome:
        return self.client.start("", kind="command", command=line, **request)

    def test_a_command_line_is_run_by_a_shell_in_the_workspace(self) -> None:
        outcome = self.run_command('echo "$PWD" | tr a-z A-Z; echo $((6 * 7)) >&2; exit 3')
        self.assertEqual((outcome.stdout, outcome.stderr), (b"/WORKSPACE\n", b"42\n"))
        report = report_of(outcome)
        self.assertEqual((report["exit_code"], report["signal"], report["error"], report["command"]), (3, None, None, True))

    def test_a_list_is_a_program_with_its_arguments_that_no_shell_looks_at(self) -> None:
        outcome = self.run_command(["printf", "%s|", "$HOME", "a b", "*", ""])
        self.assertEqual(outcome.stdout, b"$HOME|a b|*||")

    def test_the_folder_the_variables_and_the_input_are_the_given_ones(self) -> None:
        outcome = self.run_command("pwd; echo $PWD $A; cat", cwd="commands", env={"A": "ü"}, stdin="in\n")
        self.assertEqual(outcome.stdout.decode(), f"{COMMANDS_FOLDER}\n{COMMANDS_FOLDER} ü\nin\n")
        self.assertEqual(self.run_command("cat").stdout, b"")

    def test_input_is_streamed_until_its_end(self) -> None:
        outcome = self.start_command(["cat"], stdin_stream=True, stdin_granted=100)
        self.client.tell(frames.DATA, outcome, b"abc")
        self.client.tell(frames.FIN, outcome)
        self.assertTrue(outcome.ended.wait(5))
        self.assertEqual(outcome.stdout, b"abc")

    def test_a_command_has_the_signals_of_a_new_program(self) -> None:
        outcome = self.run_command("grep -E '^Sig(Blk|Ign)' /proc/self/status | cut -f2")
        # Those above are the C library's own, which whatever started the runner may have ignored.
        self.assertEqual([int(mask, 16) & 0x7FFFFFFF for mask in outcome.stdout.split()], [0, 0])
        # Where SIGPIPE was ignored, this would say so.
        self.assertEqual(self.run_command("yes | head -1").stderr, b"")

    def test_a_command_has_no_descriptors_but_its_streams(self) -> None:
        outcome = self.run_command(["ls", "-1", "/proc/self/fd"])
        self.assertEqual(outcome.stdout.split(), [b"0", b"1", b"2", b"3"])

    def test_a_signal_that_ends_a_command_is_told(self) -> None:
        report = report_of(self.run_command("kill -SEGV $$"))
        self.assertEqual((report["exit_code"], report["signal"]), (None, 11))

    def test_changed_files_are_told(self) -> None:
        report = report_of(self.run_command("echo 12 > commands/a.txt"))
        self.assertEqual(report["files"], [{"path": "commands/a.txt", "size": 3}])

    def test_an_interrupt_reaches_the_whole_command_and_tells_what_ran(self) -> None:
        outcome = self.start_command("trap 'echo caught; exit 5' INT; echo up; sleep 30 & wait")
        self.assertTrue(outcome.printed.wait(5))
        self.client.stop(outcome, frames.INTERRUPT)
        self.assertTrue(outcome.ended.wait(5))
        self.assertEqual(outcome.stdout, b"up\ncaught\n")
        report = report_of(outcome)
        self.assertEqual(report["exit_code"], 5)
        first, *others = report["processes"]
        self.assertIn("sleep 30 & wait", first["command"])
        self.assertEqual([other["parent"] for other in others], [first["pid"]])
        # It may not have become that program yet.
        self.assertIn("sleep 30", others[0]["command"])
        self.assertEqual(report["stacks"], [])

    def test_a_command_that_ignores_signals_is_killed_with_all_that_it_has_started(self) -> None:
        outcome = self.start_command("trap '' INT TERM HUP QUIT; setsid sleep 60 & echo $!; while :; do sleep 60; done")
        self.assertTrue(outcome.printed.wait(5))
        self.client.stop(outcome, frames.INTERRUPT)
        self.assertFalse(outcome.ended.wait(0.2))
        self.client.stop(outcome, frames.KILL)
        self.assertTrue(outcome.ended.wait(5))
        report = report_of(outcome)
        self.assertEqual((report["signal"], report["survivors"]), (9, False))
        self.assertFalse(os.path.exists(f"/proc/{int(outcome.stdout)}"))

    def test_what_is_left_in_other_groups_and_sessions_ends_with_the_command(self) -> None:
        outcome = self.run_command("setsid sh -c 'sleep 60 & echo $!; echo $$' ; (set -m; sleep 61 & echo $!)")
        self.assertFalse(report_of(outcome)["survivors"])
        for pid in outcome.stdout.split():
            self.assertFalse(os.path.exists(f"/proc/{int(pid)}"))

    def test_a_command_may_close_its_streams(self) -> None:
        self.assertEqual(report_of(self.run_command("exec 0<&- 1>&- 2>&-; sleep 0.1; exit 4"))["exit_code"], 4)

    def test_a_program_that_is_not_there_is_told_with_those_that_are(self) -> None:
        outcome = self.run_command(["nothing-here"])
        report = report_of(outcome)
        self.assertEqual(outcome.stderr, b"glovebox: nothing-here: command not found\n")
        self.assertEqual((report["exit_code"], report["error"]["name"]), (127, "CommandNotFound"))
        self.assertIn("ls", report["commands"])
        by_shell = report_of(self.run_command("nothing-here"))
        self.assertEqual((by_shell["exit_code"], by_shell["error"]), (127, None))
        self.assertIn("ls", by_shell["commands"])

    def test_an_empty_path_leaves_the_shell_and_finds_nothing_else(self) -> None:
        report = report_of(self.run_command("ls", env={"PATH": ""}))
        self.assertEqual((report["exit_code"], report["commands"]), (127, []))
        self.assertEqual(report_of(self.run_command(["ls"], env={"PATH": ""}))["exit_code"], 127)
        self.assertEqual(self.run_command("echo $((1 + 1))", env={"PATH": ""}).stdout, b"2\n")

    def test_what_cannot_be_executed_is_told_as_a_shell_does(self) -> None:
        for name, mode, content in (
            ("plain.txt", 0o600, "text"),
            ("noformat", 0o700, "text"),
            ("lost", 0o700, "#!/no/such/interpreter\n"),
            ("ok", 0o700, "#!/bin/sh\necho fine\n"),
        ):
            with open(f"{COMMANDS_FOLDER}/{name}", "w") as file:
                file.write(content)
            os.chmod(file.name, mode)
        for name, code, why in (
            ("plain.txt", 126, "CommandNotExecutable: commands/plain.txt: Permission denied"),
            ("noformat", 126, "CommandNotExecutable: commands/noformat: Exec format error"),
            ("lost", 127, "CommandNotFound: commands/lost: its interpreter is not there"),
            ("missing", 127, "CommandNotFound: commands/missing: no such file"),
            ("../commands", 126, "CommandNotExecutable: commands/../commands: Is a directory"),
        ):
            with self.subTest(name):
                report = report_of(self.run_command([f"commands/{name}"]))
                self.assertEqual((report["exit_code"], f"{report['error']['name']}: {report['error']['value']}"), (code, why))
        self.assertEqual(self.run_command(["commands/ok"]).stdout, b"fine\n")

    def test_a_folder_that_is_not_there_is_told_and_nothing_is_run(self) -> None:
        for folder in ("nowhere", "../nowhere", "/proc/1/nowhere"):
            with self.subTest(folder):
                outcome = self.run_command("echo ran", cwd=folder)
                report = report_of(outcome)
                self.assertEqual((outcome.stdout, report["exit_code"]), (b"", 126))
                self.assertEqual(report["error"]["name"], "WorkingDirectoryError")
        self.assertEqual(self.run_command("pwd", cwd="/tmp").stdout, b"/tmp\n")

    def test_a_long_command_line_runs_from_a_file_that_goes_with_it(self) -> None:
        outcome = self.run_command(f"# {'x' * 200_000}\necho $0 \"$@\"; cat", stdin="in")
        path, rest = outcome.stdout.split(b"\n", 1)
        self.assertEqual(rest, b"in")
        self.assertTrue(path.startswith(b"/tmp/execution-"), path)
        self.assertFalse(os.path.exists(path))

    def test_an_argument_that_linux_does_not_pass_is_told(self) -> None:
        report = report_of(self.run_command(["echo", "x" * 140_000]))
        self.assertEqual(report["exit_code"], 126)
        self.assertIn("Argument list too long", report["error"]["value"])

    def test_an_image_without_a_shell_runs_lists_alone(self) -> None:
        code = (
            f"import sys; sys.path.insert(0, {RUNNER!r})\n"
            "from _glovebox.program import command\n"
            "command.SHELLS = ('/no/bash', '/no/sh')\n"
            "command.start({'command': 'echo ran', 'settled_ns': 0}, 1)\n"
        )
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        self.assertEqual((ended.returncode, ended.stderr), (127, "glovebox: this image has no shell\n"))
        self.assertEqual(json.loads(ended.stdout.splitlines()[-1])["error"]["name"], "NoShell")

    def test_a_command_gets_its_process_when_modules_are_loaded_ahead(self) -> None:
        self.client.send(frames.CONFIGURE, 0, b'{"preload":["colorsys"]}')
        for _ in range(3):
            self.assertEqual(self.run_command("echo $A", env={"A": "1"}).stdout, b"1\n")
            time.sleep(0.05)


if __name__ == "__main__":
    unittest.main()
