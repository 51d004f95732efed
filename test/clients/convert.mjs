// Converts the tools on stdin as the AI SDK's MCP client does; prints the schemas that its providers would send.
import { createMCPClient } from '@ai-sdk/mcp';
import { asSchema } from 'ai';

const tools = JSON.parse(await new Response(process.stdin).text());

/** A server that has these tools and nothing else. */
const transport = {
  async start() {},
  async close() {},
  async send({ id, method, params }) {
    if (id === undefined) return;
    const results = {
      initialize: {
        protocolVersion: params?.protocolVersion,
        capabilities: { tools: {} },
        serverInfo: { name: 'tools', version: '1' },
      },
      'tools/list': { tools },
    };
    const answer = results[method] ? { result: results[method] } : { error: { code: -32601, message: 'unknown' } };
    queueMicrotask(() => transport.onmessage({ jsonrpc: '2.0', id, ...answer }));
  },
};

const client = await createMCPClient({ transport });
const converted = await client.tools();
const schemas = Object.entries(converted).map(async ([name, tool]) => [
  name,
  await asSchema(tool.inputSchema).jsonSchema,
]);
process.stdout.write(JSON.stringify(Object.fromEntries(await Promise.all(schemas))));
