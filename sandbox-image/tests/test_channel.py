"""What the runner's end of the channel writes, and when."""

import fcntl
import os
import socket
import unittest
from unittest import mock

import client  # noqa: F401 - it makes the package of the runner importable

from _glovebox.wire import channel
from _glovebox.wire.reactor import Reactor


class SendSoonTest(unittest.TestCase):
    def setUp(self) -> None:
        self.reading, writing = os.pipe()
        self.addCleanup(os.close, self.reading)
        self.addCleanup(os.close, writing)
        os.set_blocking(self.reading, False)
        self.channel = channel.Channel(Reactor(), lambda *_: None, lambda: None)
        patch = mock.patch.object(channel, "_OUT", writing)
        patch.start()
        self.addCleanup(patch.stop)

    def written(self) -> bytes:
        try:
            return os.read(self.reading, 1 << 20)
        except BlockingIOError:
            return b""

    def test_a_small_frame_waits_for_the_next_one(self) -> None:
        self.channel.send_soon(b"output")
        self.assertEqual(self.written(), b"")
        self.channel.send(b"end")
        self.assertEqual(self.written(), b"outputend")
        self.assertIsNone(self.channel.wait_s())

    def test_it_waits_no_longer_than_it_may(self) -> None:
        with mock.patch.object(channel.time, "monotonic", return_value=7.0):
            self.channel.send_soon(b"output")
            self.channel.send_due()
            self.assertEqual(self.written(), b"")
            self.assertGreater(self.channel.wait_s() or 0, 0)
        with mock.patch.object(channel.time, "monotonic", return_value=8.0):
            self.assertEqual(self.channel.wait_s(), 0)
            self.channel.send_due()
        self.assertEqual(self.written(), b"output")

    def test_much_output_does_not_wait_and_stays_in_order(self) -> None:
        self.channel.send_soon(b"first")
        self.channel.send_soon(b"x" * 5000)
        self.assertEqual(self.written(), b"first" + b"x" * 5000)

    def test_a_frame_in_memory_that_is_used_again_goes_out_whole(self) -> None:
        memory = memoryview(bytearray(b"frame, and more"))
        self.channel.send_soon(b"held ")
        self.channel.send(memory[:5])
        memory[:5] = b"other"
        self.assertEqual(self.written(), b"held frame")


class WidenTest(unittest.TestCase):
    def setUp(self) -> None:
        self.channel = channel.Channel(Reactor(), lambda *_: None, lambda: None)

    def widen(self, incoming: int, outgoing: int) -> None:
        with mock.patch.object(channel, "_IN", incoming), mock.patch.object(channel, "_OUT", outgoing):
            self.channel.widen()

    def test_its_pipes_hold_more(self) -> None:
        pipes = [*os.pipe(), *os.pipe()]
        for pipe in pipes:
            self.addCleanup(os.close, pipe)
        self.widen(pipes[0], pipes[3])
        sizes = [fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) for pipe in pipes]
        self.assertEqual(sizes, [256 * 1024] * 4)

    def test_sockets_stay_as_they_are(self) -> None:
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        self.widen(ours.fileno(), ours.fileno())
        theirs.send(b"x")
        self.assertEqual(ours.recv(1), b"x")
