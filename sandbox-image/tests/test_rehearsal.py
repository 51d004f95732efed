"""What a supervisor goes through before it forks programs."""

import sys
import unittest
from unittest import mock

from _glovebox.paths import USER_SITE, WORKSPACE
from _glovebox.program import rehearsal


class RehearsalTest(unittest.TestCase):
    def test_a_module_in_the_workspace_was_imported_by_a_supervisor_that_found_tmp_full(self) -> None:
        searched: list[list[str]] = []
        path = [WORKSPACE, USER_SITE, *sys.path]
        with (
            mock.patch.object(sys, "path", list(path)),
            mock.patch.object(rehearsal, "_go_through", lambda _null: searched.append(list(sys.path))),
        ):
            rehearsal.rehearse()
            self.assertEqual(sys.path, path)
        self.assertGreater(len(searched), 0)
        for entries in searched:
            self.assertNotIn(WORKSPACE, entries)
            self.assertNotIn(USER_SITE, entries)
