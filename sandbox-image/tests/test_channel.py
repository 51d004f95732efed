"""What the runner's end of the channel writes, and when."""

import os
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
