"""Which disk is named when one has no room: the error does not say."""

import errno
import os
import sys
import unittest
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from client import RUNNER

sys.path.insert(0, RUNNER)

from _glovebox.process import error_report  # noqa: E402


def denied(free: dict[str, int], free_files: dict[str, int] | None = None) -> Any:
    """What an error of writing is reported as when so many of 2048 blocks, and of 2048 files, are free."""

    def statvfs(path: str) -> Any:
        files = (free_files or {}).get(path, 2048)
        return SimpleNamespace(f_blocks=2048, f_bavail=free.get(path, 2048), f_files=2048, f_favail=files)

    told: list[dict[str, Any]] = []
    with patch.object(os, "statvfs", statvfs):
        error_report.report(OSError(errno.ENOSPC, "No space left on device"), told.append)
    return told[0]["denied"]


class FullDisksTest(unittest.TestCase):
    def test_a_disk_without_room_is_named(self) -> None:
        self.assertEqual(denied({"/workspace": 0}), "disk")
        self.assertEqual(denied({"/tmp": 0}), "tmp")
        self.assertEqual(denied({}, {"/dev/shm": 0}), "shm")

    def test_a_small_disk_that_got_some_room_since_its_error_was_named_as_the_workspace(self) -> None:
        self.assertEqual(denied({"/tmp": 2}), "tmp")
        self.assertEqual(denied({"/tmp": 0, "/workspace": 2}), "tmp")

    def test_more_at_once_than_any_disk_has_left_counts_as_the_workspace(self) -> None:
        self.assertEqual(denied({"/workspace": 1000, "/tmp": 100}), "disk")
