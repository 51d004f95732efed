"""Where things are in a sandbox."""

import os
import re
import sys

WORKSPACE = "/workspace"
"""The session's files, and its home directory."""
TMP = "/tmp"
OWN_IN_TMP = re.compile(r"(execution|ipython)-\d+|matplotlib-\w+")
"""Names of folders in it that belong to the runner or to caches, and are made again when needed: no files of the session."""
ALIASES = ("/mnt/data", "/home/user", "/sandbox")
"""Other names of the workspace, for code that was written for other sandboxes: links that the image has."""
OUTPUTS = f"{WORKSPACE}/.glovebox/outputs"
"""The folder of output that is too long for a result."""
USER_BASE = f"{WORKSPACE}/.local"
USER_SITE = f"{USER_BASE}/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
"""The folder of the session's packages."""
RUNNER_DIRECTORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""The folder that the runner is started from; its modules are below."""
INDEX_ADDRESS = ("127.0.0.1", 3141)
"""Where a sandbox finds its package index; pip.conf and uv.toml say the same."""
INDEX_URL = "http://{}:{}/simple/".format(*INDEX_ADDRESS)
TOOLS_ADDRESS = ("127.0.0.1", 3142)
"""Where a sandbox finds the tools that its code may call."""
WEB_ADDRESS = ("127.0.0.1", 3143)
"""Where a sandbox finds the proxy to the hosts that its code may reach."""
