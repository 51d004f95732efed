"""A client as a process: requests come as lines of JSON on stdin, answers go to stdout.

Requests are `{"id", "op": "tools" | "call" | "resources" | "read" | "cancel", ...}`. Answers are `{"id", "answer"}` or
`{"id", "error"}`; `{"id", "heard": true}` for each progress notification before them.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

Arguments = dict[str, Any]


@dataclass
class Answer:
    """What a model would get of a call."""

    text: str
    images: int = 0


class Client(Protocol):
    """A stock client, connected."""

    async def tools(self) -> list[str]: ...

    async def call(self, name: str, arguments: Arguments, heard: Callable[[], None]) -> Answer: ...

    async def resources(self) -> list[str]: ...

    async def read(self, uri: str) -> str: ...


Connect = Callable[[str, bool, list[str]], AbstractAsyncContextManager[Client]]


def content_answer(content: list[Any]) -> Answer:
    """The content blocks of an MCP result."""
    texts = [block.text for block in content if block.type == "text"]
    return Answer("\n".join(texts), sum(block.type == "image" for block in content))


async def handle(client: Client, request: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> None:
    number = request["id"]
    try:
        match request["op"]:
            case "tools":
                answer: Any = await client.tools()
            case "call":
                heard = lambda: say({"id": number, "heard": True})  # noqa: E731
                answer = vars(await client.call(request["name"], request["arguments"], heard))
            case "resources":
                answer = await client.resources()
            case _:
                answer = await client.read(request["uri"])
        say({"id": number, "answer": answer})
    except asyncio.CancelledError:
        say({"id": number, "error": "cancelled"})
        raise
    except BaseException as error:  # A client's errors are an outcome, groups of them, too.
        say({"id": number, "error": f"{type(error).__name__}: {error}"})


async def serve(connect: Connect, url: str, patient: bool, rest: list[str]) -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Some libraries print.

    def say(answer: dict[str, Any]) -> None:
        out.write(json.dumps(answer) + "\n")
        out.flush()

    running: dict[int, asyncio.Task[None]] = {}
    async with connect(url, patient, rest) as client:
        say({"ready": True})
        while line := await asyncio.to_thread(sys.stdin.readline):
            request = json.loads(line)
            if request["op"] == "cancel":
                running[request["of"]].cancel()
            else:
                running[request["id"]] = asyncio.create_task(handle(client, request, say))


def main(clients: dict[str, Connect]) -> None:
    """Run `NAME URL default|patient [more...]`; ends with stdin."""
    name, url, mode, *rest = sys.argv[1:]
    asyncio.run(serve(clients[name], url, mode == "patient", rest))
