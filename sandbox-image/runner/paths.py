"""Where things are in a sandbox."""

import os
import sys

WORKSPACE = "/workspace"
"""The session's files, and its home directory."""
ALIASES = ("/mnt/data", "/home/user", "/sandbox")
"""Other names of it, for code that was written for other sandboxes: links that the image has."""
OUTPUTS = f"{WORKSPACE}/.glovebox/outputs"
"""Output that results do not carry whole."""
USER_BASE = f"{WORKSPACE}/.local"
USER_SITE = f"{USER_BASE}/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
"""The session's packages."""
RUNNER_DIRECTORY = os.path.dirname(os.path.abspath(__file__))
INDEX_ADDRESS = ("127.0.0.1", 3141)
"""Where a sandbox finds its package index; pip.conf and uv.toml say the same."""
INDEX_URL = "http://{}:{}/simple/".format(*INDEX_ADDRESS)
