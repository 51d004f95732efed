"""Connects with the client of Open WebUI, to what its variable names, and prints what comes of it."""

import asyncio
import json
import os

from open_webui.utils.mcp.client import MCPClient


async def main() -> None:
    for connection in json.loads(os.environ["TOOL_SERVER_CONNECTIONS"]):
        client = MCPClient()
        await client.connect(connection["url"])
        print(json.dumps([tool["name"] for tool in await client.list_tool_specs()]))
        print(json.dumps(await client.call_tool("execute_python", {"code": "print(6 * 7)"})))
        await client.disconnect()


asyncio.run(main())
