import type { Context } from 'hono';

/** One client's hold on the server: a legacy session, an SSE stream, a stdio process, or a single modern request. */
export interface Connection {
  readonly owner: string;
  /** The Glovebox session that calls continue in; modern requests have none. */
  readonly binding?: { sessionId?: string };
  /** The session in the address of a stream, whose calls come to another address. */
  readonly addressed?: string | undefined;
  /** Tool calls under way. */
  running: number;
}

/** The answer as the HTTP server has it. */
interface Outgoing {
  readonly writableNeedDrain: boolean;
  destroy(): unknown;
  once(event: 'close', listener: () => void): unknown;
}

/** What the HTTP layer has found out before an MCP handler runs: who calls, and the text of a POST. */
interface McpEnv {
  Bindings: { outgoing?: Outgoing };
  Variables: { owner: string; body: string };
}

export type McpHandler = (c: Context<McpEnv>) => Response | Promise<Response>;

/** The session that a client's configuration pins: `/mcp?session=NAME`. An empty one is none. */
export function sessionInAddress(request: Request | undefined): string | undefined {
  return (request && new URL(request.url).searchParams.get('session')) || undefined;
}

/** A JSON-RPC error that answers no particular request. */
export function rpcError(
  status: number,
  code: number,
  message: string,
  headers: Record<string, string> = {},
): Response {
  return Response.json({ jsonrpc: '2.0', error: { code, message }, id: null }, { status, headers });
}
