"""A small real door for tools, as docs/tools.md and the control plane have it: lines of JSON over TCP."""

import base64
import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

ADDRESS = ("127.0.0.1", 3142)
TOKEN = "GLOVEBOX_TOOLS_TOKEN"
ISSUE = {
    "type": "object",
    "properties": {
        "repo": {"type": "string", "description": "owner/name of the repository"},
        "state": {"type": "string", "enum": ["open", "closed", "all"], "default": "open"},
        "page-size": {"type": "integer", "description": "issues on a page"},
        "labels": {"type": "array", "items": {"type": "string"}},
        "since": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "filter": {"$ref": "#/$defs/Filter"},
        "from": {"type": "number"},
    },
    "required": ["repo"],
    "$defs": {
        "Filter": {
            "type": "object",
            "properties": {"author": {"type": "string"}, "age": {"type": "integer"}},
            "required": ["author"],
            "additionalProperties": False,
        }
    },
}
OUTPUT = {
    "type": "object",
    "properties": {"result": {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "integer"}}}}},
}


def tool(name: str, description: str = "", schema: Any = None, python: str | None = None, **more: Any) -> dict[str, Any]:
    own = {"name": name, "python": python or name.replace("-", "_"), "description": description}
    return {**own, "input_schema": schema if schema is not None else {"type": "object"}, **more}


SERVERS = [
    {
        "name": "github",
        "description": "Issues and repositories.",
        "tools": [
            tool("list-issues", "Lists issues of a repository.\n\nThe newest first.", ISSUE, output_schema=OUTPUT),
            tool("echo", "Returns what it gets."),
            tool("parts", "Returns parts."),
            tool("fail", "Fails."),
            tool("wait", "Waits until it is let go."),
            tool("none", "Takes nothing.", {"type": "object", "properties": {}}),
        ],
    },
    {"name": "my-files", "description": "", "tools": [tool("import", "Reads a file.", python="import_")]},
    {
        "name": "broken",
        "description": "",
        "tools": [],
        "error": {"code": "upstream", "message": "It does not answer.", "hint": "Start it."},
    },
]


class Door:
    """Takes connections until it is closed. Calls of `echo` return their arguments."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.connections = 0
        self.aborted = threading.Event()
        """Set when a connection ends whose request was not answered."""
        self.waiting = threading.Semaphore(0)
        """Released by each call of `wait` that has come."""
        self.let_go = threading.Event()
        self.parts: list[dict[str, Any]] = []
        self.failure = {"code": "upstream", "message": "It went wrong.", "hint": "Try again."}
        self.tokens = {"secret"}
        self.together = threading.Barrier(1)
        """What calls of `echo` wait for."""
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(ADDRESS, backlog=64)
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            try:
                for line in lines:
                    request = json.loads(line)
                    self.requests.append(request)
                    answer = self._answer(request, connection)
                    if answer is None:
                        return
                    connection.sendall(json.dumps(answer).encode() + b"\n")
            except OSError:
                pass
        self._open.discard(connection)

    def _answer(self, request: dict[str, Any], connection: socket.socket) -> dict[str, Any] | None:
        if request["token"] not in self.tokens:
            return {"ok": False, "error": {"code": "denied", "message": "The token is dead.", "hint": "Run it again."}}
        if request["op"] == "catalog":
            return {"ok": True, "servers": SERVERS}
        if request["op"] == "read":
            return {"ok": True, "parts": [{"type": "text", "text": f"contents of {request['uri']}"}]}
        return self._call(request, connection)

    def _call(self, request: dict[str, Any], connection: socket.socket) -> dict[str, Any] | None:
        if request["tool"] == "fail":
            return {"ok": False, "error": self.failure}
        if request["tool"] == "parts":
            return {"ok": True, "parts": self.parts}
        if request["tool"] == "wait":
            self.waiting.release()
            while not self.let_go.wait(0.005):
                if _has_ended(connection):
                    self.aborted.set()
                    return None
        self.together.wait(10)
        return {"ok": True, "parts": [{"type": "json", "value": request["arguments"]}]}

    def calls(self) -> list[Any]:
        return [request["arguments"] for request in self.requests if request["op"] == "call"]

    def end_connections(self) -> None:
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self) -> None:
        self.let_go.set()
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            # Closed already, by the test.
            pass
        self._listener.close()
        self._listening.join(5)
        self.end_connections()


def _has_ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def file_part(content: bytes, mime: str, name: str | None = None) -> dict[str, Any]:
    named = {"name": name} if name is not None else {}
    return {"type": "file", "mime": mime, "data": base64.b64encode(content).decode(), **named}


def until(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 10
    while not (value := what()):
        if time.monotonic() > deadline:
            raise AssertionError("it did not come about")
        time.sleep(0.005)
    return value
