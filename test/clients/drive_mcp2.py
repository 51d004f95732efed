"""Clients that are built on version 2 of the SDK for Python."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from driver import Answer, Arguments, Client, content_answer, main


class Sdk:
    def __init__(self, client: Any) -> None:
        self.client = client

    async def tools(self) -> list[str]:
        return [tool.name for tool in (await self.client.list_tools()).tools]

    async def call(self, name: str, arguments: Arguments, heard: Callable[[], None]) -> Answer:
        async def on_progress(*_: Any) -> None:
            heard()

        result = await self.client.call_tool(name, arguments, progress_callback=on_progress)
        return content_answer(result.content)

    async def resources(self) -> list[str]:
        return [str(resource.uri) for resource in (await self.client.list_resources()).resources]

    async def read(self, uri: str) -> str:
        return (await self.client.read_resource(uri)).contents[0].text


@asynccontextmanager
async def sdk(url: str, patient: bool, rest: list[str]) -> AsyncIterator[Client]:
    from mcp import Client as SdkClient

    async with SdkClient(url) as client:
        yield Sdk(client)


class FastMcp(Sdk):
    async def tools(self) -> list[str]:
        return [tool.name for tool in await self.client.list_tools()]

    async def call(self, name: str, arguments: Arguments, heard: Callable[[], None]) -> Answer:
        async def on_progress(*_: Any) -> None:
            heard()

        result = await self.client.call_tool(name, arguments, progress_handler=on_progress)
        return content_answer(result.content)

    async def resources(self) -> list[str]:
        return [str(resource.uri) for resource in await self.client.list_resources()]

    async def read(self, uri: str) -> str:
        return (await self.client.read_resource(uri))[0].text


@asynccontextmanager
async def fastmcp(url: str, patient: bool, rest: list[str]) -> AsyncIterator[Client]:
    from fastmcp import Client as FastMcpClient

    async with FastMcpClient(url) as client:
        yield FastMcp(client)


main({"mcp": sdk, "fastmcp": fastmcp})
