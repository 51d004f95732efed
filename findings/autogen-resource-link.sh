#!/bin/bash
# AutoGen's MCP workbench drops a whole tool result when one of its parts is a link to a resource.
#
# Guess: a client that is built on the MCP SDK 1.30 takes all content types that this SDK knows, and passes on as text
#   what it has no type of its own for, as AutoGen does with embedded resources.
# Versions: Python 3.11 and later; autogen-ext 0.7.5, autogen-core 0.7.5, mcp 1.30.0 (2026).
# Behaviour: a result of text and a `resource_link` comes from `McpWorkbench.call_tool` as one text, "Unknown content type
#   from server", with is_error; the text part is lost. The same result without the link comes as it is.
# Output seen:
#   text alone: is_error=False ['the answer']
#   text and link: is_error=True ["Unknown content type from server: <class 'mcp.types.ResourceLink'>"]
# Exit code: 0 when it is as described, 1 when it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check autogen-ext==0.7.5 autogen-core==0.7.5 mcp==1.30.0
cat > "$folder/server.py" <<'CODE'
from mcp.server.fastmcp import FastMCP
from mcp.types import ResourceLink, TextContent

server = FastMCP("links")
text = TextContent(type="text", text="the answer")


@server.tool()
def plain() -> list[TextContent]:
    return [text]


@server.tool()
def linked() -> list[TextContent | ResourceLink]:
    return [text, ResourceLink(type="resource_link", uri="file:///a.csv", name="a.csv")]


server.run()
CODE
cat > "$folder/client.py" <<'CODE'
import asyncio
import sys

from autogen_ext.tools.mcp import McpWorkbench, StdioServerParams


async def main() -> bool:
    parameters = StdioServerParams(command=sys.executable, args=[sys.argv[1]], read_timeout_seconds=60)
    async with McpWorkbench(parameters) as workbench:
        plain = await workbench.call_tool("plain")
        linked = await workbench.call_tool("linked")
    for name, result in (("text alone", plain), ("text and link", linked)):
        print(f"{name}: is_error={result.is_error} {[part.content.strip() for part in result.result]}")
    return not plain.is_error and linked.is_error and "Unknown content type" in linked.result[0].content


sys.exit(0 if asyncio.run(main()) else 1)
CODE
"$folder/venv/bin/python" "$folder/client.py" "$folder/server.py" 2> "$folder/log" || { cat "$folder/log"; exit 1; }
