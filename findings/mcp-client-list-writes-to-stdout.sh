#!/bin/bash
# `listTools()` of the MCP client writes a line to stdout when the server has no tools.
#
# Guess: it returns an empty list, as its documentation says, and writes nothing: over stdio, stdout is the channel of MCP,
#   and a program that serves MCP there and is a client of other servers (a gateway) must keep it free.
# Versions: Node 22 and later; @modelcontextprotocol/client and server 2.4.0 (2026).
# Behaviour: it calls `console.debug`, which Node writes to stdout, at each call. A peer that reads stdout as JSON lines
#   gets a line that is not JSON. `listPrompts()` and `listResources()` do the same.
# Output seen:
#   tools: 0
#   on stdout besides: Client.listTools() called but server does not advertise tools capability - returning empty list
# Exit code: 0 when it is as described, 1 when it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund @modelcontextprotocol/client@2.4.0 @modelcontextprotocol/server@2.4.0
cat > list.mjs <<'CODE'
import { Client, InMemoryTransport } from '@modelcontextprotocol/client';
import { McpServer } from '@modelcontextprotocol/server';

const [ours, theirs] = InMemoryTransport.createLinkedPair();
await new McpServer({ name: 'none', version: '1' }, { capabilities: { resources: {} } }).connect(theirs);
const client = new Client({ name: 'gateway', version: '1' });
await client.connect(ours);
const { tools } = await client.listTools();
process.stderr.write(`tools: ${tools.length}\n`);
await client.close();
CODE
node list.mjs > stdout 2> stderr
cat stderr
sed 's/^/on stdout besides: /' stdout
grep -qx 'tools: 0' stderr
grep -q 'does not advertise tools capability' stdout
