"""What the tests of the module `tools` share. Needs Linux, 127.0.0.1:3142 free, and a writable /workspace."""

import os
import sys
import unittest

SITE_PACKAGES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "site-packages")
# Before one that the image may have.
sys.path.insert(0, SITE_PACKAGES)

import tools  # noqa: E402
from glovebox_tools import _catalog  # noqa: E402
from tools_door import TOKEN, Door  # noqa: E402


class ToolsCase(unittest.TestCase):
    def setUp(self) -> None:
        self.door = Door()
        self.addCleanup(self.door.close)
        os.environ[TOKEN] = "secret"
        self.addCleanup(os.environ.pop, TOKEN, None)
        _catalog.forget()

    def error_of(self, call, *args, **kwargs) -> "tools.ToolError":  # type: ignore[no-untyped-def]
        error = self.caught(tools.ToolError, call, *args, **kwargs)
        assert isinstance(error, tools.ToolError)
        return error

    def caught(self, kind, call, *args, **kwargs) -> BaseException:  # type: ignore[no-untyped-def]
        """What a call raises, with its traceback, which `assertRaises` takes away."""
        try:
            call(*args, **kwargs)
        except kind as error:
            return error
        raise AssertionError("nothing was raised")
