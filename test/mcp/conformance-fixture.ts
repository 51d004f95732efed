import type { CallToolResult, InputRequiredResult, ServerContext } from '@modelcontextprotocol/server';
import type { McpTool } from '../../src/mcp/tool.ts';

type Call = (args: Record<string, unknown>, context: ServerContext) => Promise<CallToolResult | InputRequiredResult>;

export function fixture(name: string, call: Call, properties: Record<string, { type: 'string' }> = {}): McpTool {
  return {
    listed: { name, description: 'Conformance fixture.', inputSchema: { type: 'object', properties } },
    call: (args = {}, context) => call(args, context),
  };
}

export const text = (value: string): CallToolResult => ({ content: [{ type: 'text', text: value }] });
