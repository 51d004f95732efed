"""Shows a program the flags of its interpreter that it would see under `python script.py`."""

import sys
from typing import Any


def hide_isolation() -> None:
    """The runner is isolated from the session's folders and variables; a program, and what it starts, is not."""
    flags: Any = sys.flags
    try:
        setattr(sys, "flags", flags.__replace__(isolated=0, ignore_environment=0, no_user_site=0, safe_path=False))
    except (AttributeError, TypeError):
        # Before 3.13 such an object cannot be made.
        pass
