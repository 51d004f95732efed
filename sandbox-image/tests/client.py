"""The control plane's half of a channel, and what comes back over it."""

import json
import os
import queue
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import Any

RUNNER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "runner")
sys.path.insert(0, RUNNER)

from _glovebox.wire import frames  # noqa: E402


@dataclass
class Outcome:
    """What came back of one execution."""

    stdout: bytes = b""
    stderr: bytes = b""
    report: dict[str, Any] | None = None
    display: bytes = b""
    credit: int = 0
    """Bytes of input that the runner takes in all."""
    credited: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    printed: threading.Event = field(default_factory=threading.Event)
    usages: queue.SimpleQueue[dict[str, Any]] = field(default_factory=queue.SimpleQueue)
    """What it was said to have used."""


class Client:
    """The control plane's half of a channel, on threads."""

    def __init__(self, grant: bool = True, door: str | None = None, generation: int | None = None) -> None:
        name = [] if door is None else [door] if generation is None else [door, str(generation)]
        self.process = subprocess.Popen(
            [sys.executable, "-I", RUNNER, *name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self.grant = grant
        self.outcomes: dict[int, Outcome] = {}
        self.ready = threading.Event()
        self.pongs: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.adopted: dict[str, Any] | None = None
        """What the runner says that an earlier control plane left."""
        self.greeting: dict[str, Any] = {}
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        decoder = frames.Decoder()
        while data := self.process.stdout.read(1 << 16):
            for kind, stream, payload in decoder.feed(data):
                self._take(kind, stream, payload)

    def _take(self, kind: int, stream: int, payload: bytes) -> None:
        if kind == frames.READY:
            self.greeting = json.loads(payload)
            self.adopted = self.greeting.get("adopted")
            for execution in (self.adopted or {}).get("executions", ()):
                self.outcomes[execution["stream"]] = Outcome()
            self.ready.set()
            return
        if kind == frames.PONG:
            self.pongs.put(payload)
            return
        outcome = self.outcomes[stream]
        if kind == frames.END:
            outcome.report = json.loads(payload)
            outcome.ended.set()
            return
        if kind == frames.USAGE:
            outcome.usages.put(json.loads(payload))
            return
        if kind == frames.CREDIT:
            outcome.credit += int.from_bytes(payload, "big")
            outcome.credited.set()
            return
        if kind == frames.STDOUT:
            outcome.stdout += payload
        elif kind == frames.STDERR:
            outcome.stderr += payload
        else:
            outcome.display += payload
        outcome.printed.set()
        if self.grant:
            self.send(frames.CREDIT, stream, len(payload).to_bytes(4, "big"))

    def send(self, kind: int, stream: int, payload: bytes) -> None:
        assert self.process.stdin
        try:
            self.process.stdin.write(frames.pack(kind, stream, payload))
        except (OSError, ValueError):
            # A test has ended the runner, or closed its stdin, while output was on its way.
            pass

    def start(self, code: str, **request: Any) -> Outcome:
        stream = len(self.outcomes) + 1
        outcome = self.outcomes[stream] = Outcome()
        self.send(frames.START, stream, json.dumps({"code": code, **request}).encode())
        return outcome

    def stop(self, outcome: Outcome, how: bytes) -> None:
        self.tell(frames.STOP, outcome, how)

    def tell(self, kind: int, outcome: Outcome, payload: bytes = b"") -> None:
        stream = next(key for key, value in self.outcomes.items() if value is outcome)
        self.send(kind, stream, payload)

    def usage(self, outcome: Outcome) -> dict[str, Any]:
        self.tell(frames.ASK, outcome)
        return outcome.usages.get(timeout=20)

    def run(self, code: str, **request: Any) -> Outcome:
        outcome = self.start(code, **request)
        if not outcome.ended.wait(20):
            raise AssertionError(f"no end; so far {outcome.stdout!r} {outcome.stderr!r}")
        return outcome

    def close(self) -> int:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        code = self.process.wait(5)
        self.reader.join(5)
        self.process.stdout.close()
        return code


def report_of(outcome: Outcome) -> dict[str, Any]:
    assert outcome.report is not None
    return outcome.report
