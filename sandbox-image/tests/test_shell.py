"""Runs commands in shells that stay, over a channel. Needs Linux, bash and a writable /workspace."""

import os
import re
import time
import unittest
from typing import Any

from client import Client, Outcome, report_of

from _glovebox.wire import frames


def command_lines() -> list[bytes]:
    """Those of all processes, a space between two words."""
    lines = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                lines.append(file.read().replace(b"\0", b" "))
        except OSError:
            continue
    return lines


class ShellCase(unittest.TestCase):
    def setUp(self) -> None:
        self.client = Client()
        self.addCleanup(lambda: self.client.process.poll() is None and self.client.close())

    def start(self, command: str | list[str], name: str = "sh", **request: Any) -> Outcome:
        return self.client.start("", kind="command", command=command, context=name, **request)

    def run_in(self, command: str | list[str], **request: Any) -> tuple[int | None, str, str]:
        """The exit code, stdout and stderr of a command."""
        outcome = self.end(self.start(command, **request))
        return report_of(outcome)["exit_code"], outcome.stdout.decode(), outcome.stderr.decode()

    def end(self, outcome: Outcome) -> Outcome:
        self.assertTrue(outcome.ended.wait(20), outcome)
        return outcome

    def interrupted(self, command: str, until: bytes = b"begun") -> Outcome:
        """A command that was interrupted once it had printed that."""
        outcome = self.start(command)
        while until not in outcome.stdout:
            self.assertTrue(outcome.printed.wait(10), outcome)
            outcome.printed.clear()
        # A shell goes on after a program that an interrupt has hit while it began: so it must have begun.
        for program in re.findall(r"(?:sleep 50|python3)", command)[:1]:
            while not any(program.encode() in line for line in command_lines()):
                time.sleep(0.01)
        self.client.stop(outcome, frames.INTERRUPT)
        return self.end(outcome)

    def assert_lives(self, outcome: Outcome) -> None:
        self.assertTrue(report_of(outcome)["context_alive"], outcome)

    def assert_ended(self, outcome: Outcome) -> None:
        self.assertFalse(report_of(outcome)["context_alive"], outcome)


class StaysTest(ShellCase):
    def test_keeps_its_directory_variables_functions_options_and_jobs(self) -> None:
        self.run_in("mkdir -p /tmp/shell-a && cd /tmp/shell-a; x=5; declare -A map=([k]=v); f() { echo f$1; }; shopt -s extglob")
        self.assertEqual(self.run_in("pwd; f $x; echo ${map[k]}; shopt -q extglob; echo $?"), (0, "/tmp/shell-a\nf5\nv\n0\n", ""))
        self.run_in("sleep 100 & job=$!")
        self.assertEqual(self.run_in("kill $job; wait $job 2>&-; echo $?; cd /; rmdir /tmp/shell-a")[:2], (0, "143\n"))

    def test_says_whether_it_is_new_and_lives(self) -> None:
        first, second = self.end(self.start("true")), self.end(self.start("false"))
        created = [report_of(outcome)["context_created"] for outcome in (first, second)]
        self.assertEqual(created, [True, False])
        self.assert_lives(second)
        self.assertEqual(report_of(second)["exit_code"], 1)

    def test_variables_of_a_call_are_gone_after_it(self) -> None:
        self.assertEqual(self.run_in("echo $FOO; env | grep ^FOO", env={"FOO": "it's"})[1], "it's\nFOO=it's\n")
        self.assertEqual(self.run_in("echo [$FOO]; env | grep ^FOO; true"), (0, "[]\n", ""))

    def test_input_is_of_one_command(self) -> None:
        self.assertEqual(self.run_in("read a; echo $a", stdin="one\ntwo\n")[1], "one\n")
        self.assertEqual(self.run_in("read a; echo [$a]; cat"), (0, "[]\n", ""))

    def test_a_folder_is_that_of_the_shell_from_then_on(self) -> None:
        self.assertEqual(self.run_in("pwd", cwd="/tmp")[1], "/tmp\n")
        self.assertEqual(self.run_in("pwd")[1], "/tmp\n")
        code, output, error = self.run_in("echo ran", cwd="no/such")
        self.assertEqual((code, output), (1, ""))
        self.assertIn("No such file or directory", error)

    def test_arguments_are_words(self) -> None:
        self.assertEqual(self.run_in(["echo", "a b", "$x", "it's", "*"])[1], "a b $x it's *\n")

    def test_a_long_command_runs(self) -> None:
        text = "x" * 300_000
        self.assertEqual(self.run_in(f"y={text}; echo ${{#y}}")[1], "300000\n")

    def test_what_a_call_leaves_running_writes_to_the_next_one(self) -> None:
        os.mkfifo("/tmp/shell-fifo")
        self.addCleanup(os.unlink, "/tmp/shell-fifo")
        self.run_in("(read line < /tmp/shell-fifo; echo late) & true")
        self.assertEqual(self.run_in("echo > /tmp/shell-fifo; wait")[1], "late\n")


class UsageTest(ShellCase):
    def used(self, command: str) -> tuple[float, int]:
        report = report_of(self.end(self.start(command)))
        return report["cpu_ms"], report["peak_memory_bytes"]

    def test_short_commands_have_used_time_and_memory(self) -> None:
        used = [self.used("for ((i = 0; i < 2000; i++)); do :; done; ls / > /dev/null") for _ in range(5)]
        self.assertTrue(all(cpu_ms > 0 and peak > 1 << 20 for cpu_ms, peak in used), used)
        # Not to the ticks of the kernel.
        self.assertTrue(any(cpu_ms % 10 for cpu_ms, _ in used), used)

    def test_time_is_that_of_the_command_alone(self) -> None:
        self.used("python3 -c 'while __import__(\"time\").process_time() < 0.5: pass'")
        self.assertLess(self.used("true")[0], 250)
        self.assertGreaterEqual(self.used("python3 -c 'while __import__(\"time\").process_time() < 0.3: pass'")[0], 290)

    def test_memory_is_that_of_the_command_alone(self) -> None:
        large = "python3 -c 'x = bytearray(80 << 20); __import__(\"time\").sleep(1)'"
        self.assertGreater(self.used(large)[1], 80 << 20)
        self.used(f"x=$(head -c {30 << 20} /dev/zero | tr '\\0' x); unset x")
        self.assertLess(self.used("true")[1], 30 << 20)

    def test_a_command_that_replaces_what_the_shell_tells_its_time_with_is_counted_all_the_same(self) -> None:
        self.used("times() { :; }; enable -n times")
        self.assertGreaterEqual(self.used("python3 -c 'while __import__(\"time\").process_time() < 0.1: pass'")[0], 90)


class BadCommandsTest(ShellCase):
    def test_open_quotes_and_here_documents_end_with_their_call(self) -> None:
        code, _, error = self.run_in("echo 'open")
        self.assertEqual(code, 2)
        self.assertIn("unexpected EOF", error)
        for command in ('echo "open', "echo $(", "if true", "f() {", "case x in", "echo `", "((1"):
            code, _, error = self.run_in(command)
            self.assertIn(code, (1, 2), command)
            self.assertIn("unexpected", error)
        code, output, error = self.run_in("cat <<END\ntext")
        self.assertEqual((code, output), (0, "text\n"))
        self.assertIn("here-document", error)
        self.assertEqual(self.run_in("echo alive"), (0, "alive\n", ""))

    def test_streams_that_a_call_has_closed_or_replaced_are_back_in_the_next(self) -> None:
        self.run_in("exec >&- 2>&- <&-")
        self.assertEqual(self.run_in("echo back; echo err >&2"), (0, "back\n", "err\n"))
        self.run_in("exec > /tmp/shell-log 2>&1; echo there")
        self.assertEqual(self.run_in("echo here; cat /tmp/shell-log; rm /tmp/shell-log")[1], "here\nthere\n")

    def test_functions_and_aliases_by_the_names_of_builtins_are_of_the_code_alone(self) -> None:
        names = ("eval", "printf", "cd", "read", "exec", "builtin", "command", "unset", "trap", "set")
        self.run_in("; ".join(f"{name}() {{ echo mine; }}" for name in names if name != "unset"))
        self.assertEqual(self.run_in("echo alive; printf x"), (0, "alive\nmine\n", ""))
        self.run_in("alias builtin='echo alias' eval='echo alias' printf='echo alias'; shopt -s expand_aliases")
        self.assertEqual(self.run_in("echo alive")[:2], (0, "alive\n"))
        self.run_in("enable -n eval printf builtin")
        self.assertEqual(self.run_in("echo alive")[:2], (0, "alive\n"))

    def test_traps_and_options_do_not_disturb_it(self) -> None:
        self.run_in("trap 'echo debug' DEBUG; trap 'echo err' ERR; trap 'echo return' RETURN; set -u; set -f; IFS=x; set -o posix")
        code, output, _ = self.run_in("trap - DEBUG ERR RETURN; echo alive")
        self.assertEqual(code, 0)
        self.assertIn("alive\n", output)
        self.assertEqual(self.run_in("echo $nothing")[0], 1)
        self.assertEqual(self.run_in("set +u; PS1='$ '; PS2='> '; PROMPT_COMMAND='echo prompt'; set -v"), (0, "", ""))
        self.assertEqual(self.run_in("echo a\necho b")[:2], (0, "a\nb\n"))

    def test_exit_ends_it_with_its_code(self) -> None:
        self.run_in("x=1")
        outcome = self.end(self.start("echo last; exit 3; echo never"))
        self.assertEqual((report_of(outcome)["exit_code"], outcome.stdout), (3, b"last\n"))
        self.assert_ended(outcome)
        again = self.end(self.start("echo [$x]"))
        self.assertEqual((again.stdout, report_of(again)["context_created"]), (b"[]\n", True))

    def test_errexit_and_exec_end_it(self) -> None:
        outcome = self.end(self.start("set -e; (exit 4); echo never"))
        self.assertEqual((report_of(outcome)["exit_code"], outcome.stdout), (4, b""))
        self.assert_ended(outcome)
        outcome = self.end(self.start("exec sh -c 'echo other; exit 5'"))
        self.assertEqual((report_of(outcome)["exit_code"], outcome.stdout), (5, b"other\n"))
        self.assert_ended(outcome)

    def test_a_shell_that_kills_itself_or_its_parent_is_told_as_ended(self) -> None:
        outcome = self.end(self.start("kill -9 $$"))
        self.assertEqual(report_of(outcome)["signal"], 9)
        self.assert_ended(outcome)
        self.assertEqual(self.run_in("kill -TERM $$; echo alive")[:2], (0, "alive\n"))
        outcome = self.end(self.start("kill -9 $PPID; sleep 50"))
        self.assert_ended(outcome)

    def test_one_that_ends_between_two_calls_is_new_in_the_next(self) -> None:
        self.run_in("x=1; os=$$; (sleep 0.05; kill -9 $os) & true")
        time.sleep(0.5)
        outcome = self.end(self.start("echo [$x]"))
        self.assertEqual((outcome.stdout, report_of(outcome)["context_created"]), (b"[]\n", True))

    def test_a_shell_that_has_closed_its_own_input_ends_and_no_command_is_told_as_run_that_was_not(self) -> None:
        outcome = self.end(self.start('for fd in /proc/$$/fd/*; do fd=${fd##*/}; eval "exec $fd>&-"; done; echo x'))
        self.assertIsNotNone(outcome.report)
        for _ in range(3):
            again = self.end(self.start("echo alive"))
            self.assertEqual(report_of(again)["exit_code"] == 0, again.stdout == b"alive\n", again)
        self.assertEqual(self.run_in("echo alive"), (0, "alive\n", ""))


class InterruptTest(ShellCase):
    def test_an_interrupt_ends_the_command_and_not_the_shell(self) -> None:
        self.run_in("x=5; sleep 1000 & job=$!")
        for command in (
            "echo begun; sleep 50; echo after",
            "echo begun\nsleep 50\necho after",
            "echo begun; while :; do :; done; echo after",
            "f() { echo begun; while :; do sleep 9; done; echo no; }; f\necho after",
            "echo begun; (trap '' HUP; sleep 50); echo after",
            "echo begun; python3 -c 'import time; time.sleep(50)' 2>/dev/null; echo after",
            "echo begun; setsid -w sleep 50; echo after",
            "echo begun; sleep 50 | cat; echo after",
            "set -m; echo begun; sleep 50; echo after",
        ):
            with self.subTest(command):
                outcome = self.interrupted(command)
                self.assertEqual((report_of(outcome)["exit_code"], outcome.stdout), (130, b"begun\n"))
                self.assert_lives(outcome)
        self.assertEqual(self.run_in("set +m; kill -0 $job && echo $x; kill $job")[1], "5\n")

    def test_a_trap_of_the_code_gets_the_interrupt(self) -> None:
        outcome = self.interrupted("trap 'echo caught' INT; echo begun; sleep 50; echo after")
        self.assertEqual(outcome.stdout, b"begun\ncaught\nafter\n")
        self.assert_lives(outcome)

    def test_one_that_ignores_interrupts_is_killed_with_all_that_it_started(self) -> None:
        outcome = self.start("trap '' INT; echo begun; sleep 50; sleep 51")
        self.assertTrue(outcome.printed.wait(10))
        self.client.stop(outcome, frames.INTERRUPT)
        self.assertFalse(outcome.ended.wait(0.7))
        self.client.stop(outcome, frames.KILL)
        self.end(outcome)
        self.assert_ended(outcome)
        self.assertFalse(report_of(outcome)["survivors"])

    def test_an_interrupt_before_the_command_has_begun_ends_it(self) -> None:
        for _ in range(20):
            outcome = self.start("echo a; sleep 50; echo b")
            self.client.stop(outcome, frames.INTERRUPT)
            self.end(outcome)
            self.assertNotIn(b"b", outcome.stdout)
            if "refused" not in report_of(outcome):
                self.assert_lives(outcome)
        self.assertEqual(self.run_in("echo alive"), (0, "alive\n", ""))

    def test_an_interrupt_names_the_processes_that_ran(self) -> None:
        outcome = self.interrupted("python3 -c 'print(\"begun\", flush=True); input()' 2>&1 < <(sleep 49)")
        commands = [process["command"] for process in report_of(outcome)["processes"]]
        self.assertTrue(any("begun" in command for command in commands), commands)
        self.assertEqual(report_of(outcome)["stacks"], [])

    def test_one_that_forks_without_end_ends_with_its_shell(self) -> None:
        outcome = self.interrupted("echo begun; for i in {1..150}; do sleep 60 & done 2>/dev/null; sleep 60", until=b"begun")
        self.end(outcome)
        again = self.end(self.start("pgrep -c sleep || true"))
        self.assertIsNotNone(again.report)


class KindsTest(ShellCase):
    def test_says_nothing_of_its_own_to_the_code(self) -> None:
        code, output, _ = self.run_in("set | grep -c GLOVEBOX_STATUS; history | wc -l")
        self.assertEqual((code, output.split()), (0, ["0", "0"]))

    def test_a_name_is_that_of_one_kind(self) -> None:
        self.run_in("x=1")
        outcome = self.client.run("print(1)", context="sh", results={"limit": 1024, "total": 1024})
        self.assertIn("shell", (outcome.report or {}).get("refused", ""))
        self.assertEqual(self.run_in("echo $x")[1], "1\n")


if __name__ == "__main__":
    unittest.main()
