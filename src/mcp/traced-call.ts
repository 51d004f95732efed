import type { ServerContext } from '@modelcontextprotocol/server';
import { traceTool } from '../telemetry/tool-spans.ts';
import { isTracing, type Span } from '../telemetry/trace.ts';
import type { AnyTool } from '../tools/description.ts';

/** Answers a call of a tool as a span. Its caller names a trace in `_meta` (SEP-414), over any transport. */
export function traceMcpCall<T>(
  tool: Pick<AnyTool, 'name'>,
  { mcpReq, http }: ServerContext,
  protocolVersion: string | undefined,
  call: (span: Span | undefined) => Promise<T>,
): Promise<T> {
  if (!isTracing()) return call(undefined);
  const about = (span: Span | undefined) => {
    span?.set({
      'mcp.method.name': 'tools/call',
      'mcp.protocol.version': protocolVersion,
      'jsonrpc.request.id': String(mcpReq.id),
      'network.transport': http ? 'tcp' : 'pipe',
    });
    return call(span);
  };
  return traceTool(tool.name, about, { prefix: 'tools/call', kind: 'server', from: (name) => mcpReq._meta?.[name] });
}
