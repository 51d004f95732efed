"""What becomes of requirements, as the installer tells it."""

from dataclasses import dataclass


@dataclass
class Outcome:
    """What became of one requirement, in the words of the tool's result."""

    name: str
    requested: str
    status: str = "not_attempted"
    version: str | None = None
    error: str | None = None
    note: str | None = None
    """A remark about a package that was installed."""
    denied: str | None = None
    """The limit of the sandbox that stands behind the error."""


@dataclass
class Failure(Exception):
    """A step that did not work, in words, and the limit of the sandbox that stands behind it."""

    reason: str
    denied: str | None = None

    def note_in(self, outcome: Outcome) -> None:
        outcome.status, outcome.error, outcome.denied = "failed", self.reason, self.denied
