"""What is done otherwise under gVisor, tried on whatever kernel this is. Needs Linux."""

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

from client import RUNNER

from _glovebox import gvisor
from _glovebox.files.file_tree import Refused, Tree
from _glovebox.supervisor.child_ends import ChildEnds

ORPHANS = f"""
import json, os, select, sys
sys.path.insert(0, {RUNNER!r})
from _glovebox import gvisor

def read(pid, name):
    try:
        with open(f"/proc/{{pid}}/{{name}}") as file: return file.read()
    except OSError: return ""

def mark_of(pid):
    # The filter of a sandbox refuses limits of other processes, which gVisor does not have.
    lines = [line.split() for line in read(pid, "limits").splitlines() if line.startswith("Max processes")]
    return int(lines[0][3].replace("unlimited", "-1")) if lines else None

def leave():
    out, told = os.pipe()
    if os.fork() == 0:
        if os.fork() == 0:
            os.setsid()
            os.write(told, b"%d" % os.getpid())
            for descriptor in range(3): os.close(descriptor)
            select.select([], [], [], 60)
        os._exit(0)
    os.wait()
    return int(os.read(out, 20))

gvisor._mark_of = mark_of
gvisor.mark_children()
own = leave()
gvisor._FIRST = int(read(own, "stat").rpartition(")")[2].split()[1])
heard, told = os.pipe()
waits, ends = os.pipe()
other = os.fork()
if other == 0:
    os.close(ends)
    gvisor.mark_children()
    os.write(told, b"%d" % leave())
    os.read(waits, 1)
    os._exit(0)
others = int(os.read(heard, 20))
seen = [own in gvisor.orphans(), others in gvisor.orphans()]
os.close(ends)
os.wait()
print(json.dumps([*seen, others in gvisor.orphans()]))
for pid in (own, others): os.kill(pid, 9)
"""


class ChildEndsTest(unittest.TestCase):
    def setUp(self) -> None:
        with mock.patch("os.pidfd_open", side_effect=OSError):
            self.ends = ChildEnds()
        self.addCleanup(self.ends.forget)

    def test_the_end_of_a_child_is_an_event_without_descriptors_of_processes(self) -> None:
        waits, ends = os.pipe()
        first, second = self.fork(), self.fork(waits, ends)
        heard = self.ends.watch(first)
        self.assertTrue(select.select([heard], [], [], 10)[0])
        self.assertTrue(self.ends.has_ended(first))
        os.waitpid(first, 0)
        self.assertFalse(self.ends.has_ended(second))
        os.close(ends)
        self.assertTrue(select.select([heard], [], [], 10)[0])
        self.assertTrue(self.ends.has_ended(second))
        self.assertEqual(os.waitpid(second, 0)[1], 0)
        os.close(waits)

    def test_a_forked_child_hears_of_its_own_children_as_if_nothing_had_been(self) -> None:
        code = "import signal; print(signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL)"
        pid = os.fork()
        if pid == 0:
            self.ends.forget()
            os._exit(0 if signal.set_wakeup_fd(-1) == -1 and signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL else 1)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)
        self.assertEqual(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout, "True\n")

    @staticmethod
    def fork(waits: int = -1, ends: int = -1) -> int:
        """Forks a child that ends when the other end of a pipe is closed, or at once."""
        pid = os.fork()
        if pid == 0:
            if waits >= 0:
                os.close(ends)
                os.read(waits, 1)
            os._exit(0)
        return pid


class OrphansTest(unittest.TestCase):
    def test_orphans_are_of_the_process_that_marked_them_while_it_lives_and_then_of_any(self) -> None:
        ran = subprocess.run([sys.executable, "-c", ORPHANS], capture_output=True, text=True, timeout=60)
        self.assertEqual((ran.stderr, ran.stdout), ("", "[true, false, true]\n"))


class FoldersTest(unittest.TestCase):
    def test_a_link_to_a_folder_is_not_followed_and_a_file_is_no_folder(self) -> None:
        with tempfile.TemporaryDirectory() as root, mock.patch.object(gvisor, "PRESENT", True):
            os.mkdir(f"{root}/folder")
            os.symlink("folder", f"{root}/link")
            with open(f"{root}/file", "w"):
                pass
            tree = Tree(root)
            with tree.folder(["folder"]) as descriptor:
                self.assertEqual(os.listdir(descriptor), [])
            for name, reason in (("link", "is a symbolic link"), ("file", "is not a folder")):
                with self.subTest(name), self.assertRaises(Refused) as refused, tree.folder([name]):
                    pass
                self.assertIn(reason, refused.exception.message)


class SendersTest(unittest.TestCase):
    def test_a_message_says_who_sent_it_whoever_made_the_connection(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            gvisor.ask_for_senders(ours)
            pid = os.fork()
            if pid == 0:
                gvisor.ask_for_senders(theirs)
                sender, _, _ = gvisor.receive(theirs, 0)
                socket.send_fds(theirs, [b"generation"], [0, 1])
                os._exit(0 if sender == os.getppid() else 1)
            gvisor.introduce(ours)
            sender, descriptors, message = gvisor.receive(ours, 2, 10)
            self.assertEqual(os.waitpid(pid, 0)[1], 0)
            self.assertEqual((sender, len(descriptors), message), (pid, 2, b"generation"))
            for descriptor in descriptors:
                os.close(descriptor)


if __name__ == "__main__":
    unittest.main()
