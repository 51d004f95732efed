"""The process between the runner and a program: the parent of all that the program starts.

It finds a program's orphans, so none outlives the execution. When nothing is left of
one program it starts the next: each costs one fork, of a process that has prepared all that programs have in common.
"""

import gc
import json
import os
import resource
import select
import signal
import socket
from typing import Any

from _glovebox import linux
from _glovebox.files import changed_files
from _glovebox.process import multiprocessing_patches, thread_stacks
from _glovebox.program.program import Pipes, Program
from _glovebox.program.rehearsal import rehearse
from _glovebox.supervisor import command_report, leftovers, program_report
from _glovebox.supervisor.child_ends import ChildEnds
from _glovebox.wire import frames

KILL_LIMIT_S = 0.8
"""Seconds that leftover processes may resist; the control plane steps in after one second."""
MAX_REPORT = 256 * 1024
"""Bytes that a program may report of one run."""


def supervise(control: socket.socket) -> Program | None:
    """Forks a program at each order, waits for its end and reports that on `control`; returns only in a program's process.

    The program waits for its request, so it can be there before there is anything to run.
    """
    leftovers.gather()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ends = ChildEnds()
    Program.prepare_parent()
    rehearse()
    gc.collect()
    # Nothing of what is there now is looked at, and so copied, by a collection in a program.
    gc.freeze()
    linux.return_free_memory()
    while pipes := _next_order(control):
        report_out, report_in = os.pipe()
        post_mortem = thread_stacks.create()
        try:
            pid = os.fork()
        except OSError:
            control.sendall(json.dumps(frames.NO_PROCESS).encode() + b"\n")
            break
        if pid == 0:
            # Its descriptor is closed with all others.
            control.detach()
            ends.forget()
            return Program.prepare(pipes, report_in, post_mortem)
        for descriptor in (*pipes, report_in):
            os.close(descriptor)
        supervision = Supervision(pid, control, report_out, post_mortem, ends)
        if not supervision.run():
            break
    os._exit(0)


def _next_order(control: socket.socket) -> Pipes | None:
    """Waits for the order to start a program; None when the runner wants no more, or is gone."""
    while True:
        try:
            command, descriptors, _, _ = socket.recv_fds(control, 1, len(Pipes._fields))
        except ConnectionResetError:
            # The runner ended before it had read all reports.
            return None
        if command == frames.NEXT:
            return Pipes(*descriptors)
        if not command:
            return None
        # It was meant for the program that has ended.


class Supervision:
    def __init__(self, pid: int, control: socket.socket, report: int, post_mortem: int, ends: ChildEnds) -> None:
        self._pid = pid
        self._ends = ends
        self._control = control
        self._from_program = report
        self._post_mortem = post_mortem
        self._unread = bytearray()
        self._reported = 0
        self._heard: dict[str, Any] = {}
        """What the program has reported of the run: `start`, `error`, `done`, `imported`."""
        self._interrupted = False
        self._held_interrupt = False
        """Whether one came before the run had begun: the program would not hear it, or hear it in its own preparations."""
        self._is_used = False
        """Whether the program has done something before the run: prepared an interpreter, or run a cell."""
        self._faults = 0
        """Page faults of the processes that a context's program had waited for when the run began; none before the first."""
        self._kills: dict[str, Any] = {}
        """What the memory limit has ended during the run."""
        self._processes: list[dict[str, Any]] = []
        """Those of a command when it was interrupted."""

    def run(self) -> bool:
        """Obeys the runner and passes on reports until the program ends; then ends what it left.

        Returns whether nothing is left, so that the next program can be started.
        """
        status, usage = self._wait()
        used = [usage]
        clean = leftovers.end(KILL_LIMIT_S, used)
        self._send(
            {
                "started": "start" in self._heard,
                "exit_code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
                "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
                "survivors": not clean,
                "again": clean,
                **self._describe(),
                **self._describe_command(os.WEXITSTATUS(status) if os.WIFEXITED(status) else None),
                "cpu_ms": round(sum(each.ru_utime + each.ru_stime for each in used) * 1000, 3),
                "peak_memory_bytes": max(each.ru_maxrss for each in used) * 1024,
            }
        )
        os.close(self._post_mortem)
        if self._from_program >= 0:
            os.close(self._from_program)
        return clean

    def _wait(self) -> tuple[int, resource.struct_rusage]:
        """The wait status of the ended program and what it has used, everything that it reported being read."""
        ended = self._ends.watch(self._pid)
        poll = select.poll()
        for descriptor in (ended, self._control.fileno(), self._from_program):
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._from_program in ready:
                if not self._hear():
                    poll.unregister(self._from_program)
                    os.close(self._from_program)
                    self._from_program = -1
            elif ended in ready and self._ends.has_ended(self._pid):
                # Before it is gone, and with it what is known of its children.
                self._kills = self._count_kills()
                self._ends.unwatch(ended)
                return os.wait4(self._pid, 0)[1:]
            if self._control.fileno() in ready:
                self._obey(next_command(self._control))

    def _hear(self) -> bool:
        """Takes what the program reports; False when there will be no more, or too much was said of one run."""
        data = os.read(self._from_program, 65536)
        self._reported += len(data)
        self._unread += data
        *lines, rest = self._unread.split(b"\n")
        self._unread = bytearray(rest)
        for line in lines:
            heard = program_report.parse(line)
            if isinstance(heard, dict):
                self._heard.update(heard)
                if "prepared" in heard:
                    self._send(program_report.numbers(self._heard, ("prepared",)))
                    del self._heard["prepared"]
                    self._is_used = True
                if "start" in heard and self._is_used:
                    self._faults = linux.faults_of_ended(self._pid)
        if self._held_interrupt and "start" in self._heard:
            self._interrupt()
        if "done" in self._heard:
            self._finish_run()
        return bool(data) and self._reported <= MAX_REPORT

    def _finish_run(self) -> None:
        """Reports the end of a cell. The program of the context lives on for the next one."""
        self._kills = self._count_kills()
        done = program_report.numbers(self._heard.get("done"), ("exit_code", "cpu_ms", "peak_memory_bytes"))
        about = {**done, **self._describe(), **self._describe_command(done["exit_code"])}
        self._send({"started": True, "signal": None, "survivors": False, "alive": True, **about})
        self._heard = {}
        self._processes = []
        self._is_used = True
        self._reported = 0
        self._interrupted = False

    @property
    def _start(self) -> dict[str, Any]:
        start = self._heard.get("start")
        return start if isinstance(start, dict) else {}

    @property
    def _shell(self) -> int | None:
        """This process's program, if that only hands commands to a shell."""
        command = self._start.get("command")
        return self._pid if isinstance(command, dict) and command.get("stays") else None

    def _describe_command(self, exit_code: int | None) -> dict[str, Any]:
        """Returns what is reported of commands alone."""
        path = command_report.path_of(self._start)
        if path is None:
            return {}
        commands = {"commands": command_report.commands(path)} if exit_code == command_report.NOT_FOUND else {}
        return {"command": True, **({"processes": self._processes} if self._processes else {}), **commands}

    def _describe(self) -> dict[str, Any]:
        """Returns the part of a report that is known while the program may still run."""
        start = self._start
        since_ns = start.get("started_ns")
        files, settled_ns = changed_files.changed_files(since_ns) if isinstance(since_ns, int) else ([], 0)
        if isinstance(start.get("script"), str):
            _remove_script(start["script"])
        return {
            "oom_killed": False,
            **self._kills,
            "error": program_report.error(self._heard.get("error")),
            "files": files,
            "settled_ns": settled_ns,
            "tmp_changed": isinstance(since_ns, int) and changed_files.tmp_changed(since_ns),
            "stacks": self._read_stacks() if self._interrupted else [],
            **({"imported": self._heard["imported"]} if "imported" in self._heard else {}),
        }

    def _read_stacks(self) -> list[dict[str, Any]]:
        return thread_stacks.read(self._post_mortem, self._start.get("main_thread"))

    def _count_kills(self) -> dict[str, Any]:
        """Returns how many processes the memory limit ended during the run, and whether one may be the run's own."""
        before = self._start.get("oom_kills")
        kills = linux.oom_kills() - before if isinstance(before, int) else 0
        if kills <= 0:
            return {"oom_killed": False}
        ended = linux.has_ended_processes(self._pid, self._faults)
        return {"oom_killed": True, "oom_kills": kills, "processes_ended": ended}

    def _send(self, report: dict[str, Any]) -> None:
        try:
            self._control.sendall(json.dumps(report).encode() + b"\n")
        except (BrokenPipeError, ConnectionResetError):
            # The runner is gone, and with it everyone who would want to know.
            pass

    def _obey(self, command: bytes) -> None:
        if command == frames.INTERRUPT:
            if "start" in self._heard:
                self._interrupt()
            else:
                self._held_interrupt = True
        elif (number := frames.signal_of(command)) is not None:
            self._pass_on(number)
        elif command == frames.WAKE:
            # One that came too late for the run before is not this run's.
            self._held_interrupt = False
            # An earlier execution may have stopped it while it waited.
            _signal(self._pid, signal.SIGCONT)
        else:
            # Also when the runner is gone: nobody is left to report to.
            _signal(self._pid, signal.SIGKILL)

    def _pass_on(self, number: int) -> None:
        """A signal for the run, and for no other that this program may do."""
        if "start" in self._heard:
            _signal(-self._pid, number)

    def _interrupt(self) -> None:
        self._held_interrupt = False
        self._interrupted = True
        if command_report.path_of(self._start) is None:
            thread_stacks.take(self._post_mortem, self._pid)
        else:
            # No interpreter is there that would write its stacks, and the signal for them would end the command.
            self._processes = command_report.processes(besides=self._shell)
        # The whole process group, as Ctrl-C at a terminal does.
        _signal(-self._pid, signal.SIGINT)


def next_command(control: socket.socket) -> bytes:
    """The next command; empty when the runner is gone."""
    try:
        return control.recv(1)
    except ConnectionResetError:
        # It ended before it had read all reports.
        return b""


def _signal(target: int, number: int) -> None:
    try:
        os.kill(target, number)
    except ProcessLookupError:
        pass


def _remove_script(script: str) -> None:
    directory = os.path.dirname(script)
    try:
        os.unlink(script)
        try:
            os.rmdir(directory)
        except OSError:
            for name in os.listdir(directory):
                if name.startswith(multiprocessing_patches.PREFIX):
                    os.unlink(os.path.join(directory, name))
            os.rmdir(directory)
    except OSError:
        # The program may keep files of its own there.
        pass
