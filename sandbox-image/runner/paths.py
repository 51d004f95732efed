"""Where things are in a sandbox."""

import os

WORKSPACE = "/workspace"
"""The session's files, and its home directory."""
RUNNER_DIRECTORY = os.path.dirname(os.path.abspath(__file__))
