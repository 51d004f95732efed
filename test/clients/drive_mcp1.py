"""Clients that are built on version 1 of the SDK for Python."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from driver import Answer, Arguments, Client, content_answer, main

PATIENCE_S = 150


class SessionClient:
    """The SDK's own session."""

    def __init__(self, session: Any) -> None:
        self.session = session

    async def tools(self) -> list[str]:
        return [tool.name for tool in (await self.session.list_tools()).tools]

    async def call(self, name: str, arguments: Arguments, heard: Callable[[], None]) -> Answer:
        async def on_progress(*_: Any) -> None:
            heard()

        result = await self.session.call_tool(name, arguments, progress_callback=on_progress)
        return content_answer(result.content)

    async def resources(self) -> list[str]:
        return [str(resource.uri) for resource in (await self.session.list_resources()).resources]

    async def read(self, uri: str) -> str:
        return (await self.session.read_resource(uri)).contents[0].text


@asynccontextmanager
async def sdk(url: str, patient: bool, rest: list[str]) -> AsyncIterator[Client]:
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async with streamable_http_client(url) as (read, write, _), ClientSession(read, write) as session:
        await session.initialize()
        yield SessionClient(session)


@asynccontextmanager
async def bridge(url: str, patient: bool, rest: list[str]) -> AsyncIterator[Client]:
    """A command that speaks stdio on this side and HTTP on the other, under the SDK's session."""
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import get_default_environment, stdio_client

    command, *arguments = rest
    parameters = StdioServerParameters(command=command, args=arguments, env=get_default_environment())
    async with stdio_client(parameters) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        yield SessionClient(session)


class LangChain:
    def __init__(self, url: str) -> None:
        from langchain_mcp_adapters.callbacks import Callbacks
        from langchain_mcp_adapters.client import MultiServerMCPClient

        async def on_progress(*_: Any) -> None:
            self.heard()

        self.heard: Callable[[], None] = lambda: None
        server = {"transport": "streamable_http", "url": url}
        self.client = MultiServerMCPClient({"glovebox": server}, callbacks=Callbacks(on_progress=on_progress))

    async def tools(self) -> list[str]:
        self.by_name = {tool.name: tool for tool in await self.client.get_tools()}
        return list(self.by_name)

    async def call(self, name: str, arguments: Arguments, heard: Callable[[], None]) -> Answer:
        self.heard = heard
        call = {"type": "tool_call", "id": "1", "name": name, "args": arguments}
        content = (await self.by_name[name].ainvoke(call)).content
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        texts = [block["text"] for block in blocks if block["type"] == "text"]
        return Answer("\n".join(texts), sum(block["type"] == "image" for block in blocks))

    async def resources(self) -> list[str]:
        self.blobs = {str(blob.metadata["uri"]): blob for blob in await self.client.get_resources("glovebox")}
        return list(self.blobs)

    async def read(self, uri: str) -> str:
        return self.blobs[uri].as_string()


@asynccontextmanager
async def langchain(url: str, patient: bool, rest: list[str]) -> AsyncIterator[Client]:
    client = LangChain(url)
    await client.tools()
    yield client


class OpenAiAgents(SessionClient):
    async def tools(self) -> list[str]:
        return [tool.name for tool in await self.session.list_tools()]

    async def call(self, name: str, arguments: Arguments, heard: Callable[[], None]) -> Answer:
        return content_answer((await self.session.call_tool(name, arguments)).content)


@asynccontextmanager
async def openai_agents(url: str, patient: bool, rest: list[str]) -> AsyncIterator[Client]:
    from agents.mcp import MCPServerStreamableHttp

    more = {"client_session_timeout_seconds": PATIENCE_S} if patient else {}
    async with MCPServerStreamableHttp({"url": url}, **more) as server:
        yield OpenAiAgents(server)


class PydanticAi:
    def __init__(self, url: str) -> None:
        from pydantic_ai.mcp import MCPToolset

        async def on_progress(*_: Any) -> None:
            self.heard()

        self.heard: Callable[[], None] = lambda: None
        self.toolset = MCPToolset(url, progress_handler=on_progress)

    async def tools(self) -> list[str]:
        return [tool.name for tool in await self.toolset.list_tools()]

    async def call(self, name: str, arguments: Arguments, heard: Callable[[], None]) -> Answer:
        from pydantic_ai.messages import BinaryContent

        self.heard = heard
        result = await self.toolset.direct_call_tool(name, arguments)
        parts = result if isinstance(result, list) else [result]
        pictures = sum(isinstance(part, BinaryContent) for part in parts)
        return Answer("\n".join(str(part)[:5000] for part in parts if not isinstance(part, BinaryContent)), pictures)

    async def resources(self) -> list[str]:
        return [str(resource.uri) for resource in await self.toolset.list_resources()]

    async def read(self, uri: str) -> str:
        return str(await self.toolset.read_resource(uri))


@asynccontextmanager
async def pydantic_ai(url: str, patient: bool, rest: list[str]) -> AsyncIterator[Client]:
    client = PydanticAi(url)
    async with client.toolset:
        yield client


class LlamaIndex(SessionClient):
    async def call(self, name: str, arguments: Arguments, heard: Callable[[], None]) -> Answer:
        output = await self.by_name[name].acall(**arguments)
        return content_answer(output.raw_output.content)


@asynccontextmanager
async def llama_index(url: str, patient: bool, rest: list[str]) -> AsyncIterator[Client]:
    from llama_index.tools.mcp import BasicMCPClient, McpToolSpec

    client = LlamaIndex(BasicMCPClient(url, **({"timeout": PATIENCE_S} if patient else {})))
    tools = await McpToolSpec(client.session).to_tool_list_async()
    client.by_name = {tool.metadata.name: tool for tool in tools}
    yield client


class McpUse(OpenAiAgents):
    async def call(self, name: str, arguments: Arguments, heard: Callable[[], None]) -> Answer:
        result = await self.by_name[name].ainvoke(arguments)
        return Answer(str(result), str(result).count("image/png"))

    async def resources(self) -> list[str]:
        return [str(resource.uri) for resource in await self.session.list_resources()]


@asynccontextmanager
async def mcp_use(url: str, patient: bool, rest: list[str]) -> AsyncIterator[Client]:
    os.environ["MCP_USE_ANONYMIZED_TELEMETRY"] = "false"
    from mcp_use import MCPClient
    from mcp_use.agents.adapters.langchain_adapter import LangChainAdapter

    server = {"url": url, **({"timeout": PATIENCE_S, "sse_read_timeout": PATIENCE_S} if patient else {})}
    client = MCPClient({"mcpServers": {"glovebox": server}})
    driven = McpUse(await client.create_session("glovebox"))
    driven.by_name = {tool.name: tool for tool in await LangChainAdapter().create_tools(client)}
    yield driven
    await client.close_all_sessions()


class SmolAgents:
    def __init__(self, url: str, patient: bool) -> None:
        from smolagents import MCPClient

        more = {"client_session_timeout_seconds": PATIENCE_S} if patient else {}
        self.client = MCPClient({"url": url}, adapter_kwargs=more, structured_output=False)
        self.by_name = {tool.name: tool for tool in self.client.get_tools()}

    async def tools(self) -> list[str]:
        return list(self.by_name)

    async def call(self, name: str, arguments: Arguments, heard: Callable[[], None]) -> Answer:
        result = await asyncio.to_thread(self.by_name[name], **arguments)
        return Answer(str(result), int(type(result).__module__.startswith("PIL")))


@asynccontextmanager
async def smolagents(url: str, patient: bool, rest: list[str]) -> AsyncIterator[Client]:
    client = await asyncio.to_thread(SmolAgents, url, patient)
    yield client  # type: ignore[misc]
    client.client.disconnect()


class AutoGen(SessionClient):
    async def tools(self) -> list[str]:
        return [tool["name"] for tool in await self.session.list_tools()]

    async def call(self, name: str, arguments: Arguments, heard: Callable[[], None]) -> Answer:
        from autogen_core import CancellationToken

        token = CancellationToken()
        try:
            result = (await self.session.call_tool(name, arguments, token)).result
        except asyncio.CancelledError:
            token.cancel()
            raise
        texts = [part.content for part in result if part.type == "TextResultContent"]
        return Answer("\n".join(texts), sum(part.type == "ImageResultContent" for part in result))


@asynccontextmanager
async def autogen(url: str, patient: bool, rest: list[str]) -> AsyncIterator[Client]:
    from autogen_ext.tools.mcp import McpWorkbench, StreamableHttpServerParams

    more = {"timeout": PATIENCE_S} if patient else {}
    async with McpWorkbench(StreamableHttpServerParams(url=url, **more)) as workbench:
        yield AutoGen(workbench)


main(
    {
        "mcp": sdk,
        "bridge": bridge,
        "langchain": langchain,
        "openai-agents": openai_agents,
        "pydantic-ai": pydantic_ai,
        "llama-index": llama_index,
        "mcp-use": mcp_use,
        "smolagents": smolagents,
        "autogen": autogen,
    }
)
