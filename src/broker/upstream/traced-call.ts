import { traceTool } from '../../telemetry/tool-spans.ts';
import { isTracing, type Span, traceFields } from '../../telemetry/trace.ts';
import type { ToolServer } from '../file/server-entry.ts';

/**
 * Calls a tool of a server as a span, with nothing of its arguments or its answer.
 * @param call is given the fields that tell the server of the span, which it sends in `_meta` (SEP-414); HTTP has them as well
 */
export function traceToolCall<T extends { readonly isError?: boolean | undefined }>(
  server: ToolServer,
  tool: string,
  call: (fields: Readonly<Record<string, string>> | undefined) => Promise<T>,
): Promise<T> {
  if (!isTracing()) return call(undefined);
  const about = async (span: Span | undefined) => {
    span?.set({
      'mcp.method.name': 'tools/call',
      'glovebox.tools.server': server.name,
      ...addressOf(server),
    });
    const answer = await call(traceFields());
    if (answer.isError) span?.fail('tool_error');
    return answer;
  };
  return traceTool(tool, about, { prefix: 'tools/call', kind: 'client' });
}

/** Where a server is, without its path, which may hold a credential. */
function addressOf({ access }: ToolServer) {
  const url = access.kind === 'stdio' ? null : URL.parse(access.url);
  if (!url) return { 'network.transport': 'pipe' };
  const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80));
  return { 'network.transport': 'tcp', 'server.address': url.hostname, 'server.port': port };
}
