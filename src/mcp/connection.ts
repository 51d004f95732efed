import type { Context } from 'hono';

/** A connection of a client: a legacy session, an SSE stream, a stdio process, or a single modern request. */
export interface Connection {
  readonly owner: string;
  /** Glovebox session that later calls use. Missing for modern requests. */
  readonly binding?: { sessionId?: string };
  /** Session named in the URL of a stream, as its calls are sent to another URL. */
  readonly addressed?: string | undefined;
  /** Number of running tool calls. */
  running: number;
  /** Number of open streams for messages that belong to no request. Missing where there is always one, or never. */
  streams?: number;
}

/** The answer as an object of the HTTP server. */
interface Outgoing {
  readonly writableNeedDrain: boolean;
  destroy(): unknown;
  once(event: 'close', listener: () => void): unknown;
}

/** Data that the HTTP layer sets before an MCP handler runs: the owner, and the body of a POST. */
interface McpEnv {
  Bindings: { outgoing?: Outgoing };
  Variables: { owner: string; body: string };
}

export type McpHandler = (c: Context<McpEnv>) => Response | Promise<Response>;

/** The session named in the URL, as in `/mcp?session=NAME`. Undefined if it is missing or empty. */
export function sessionInAddress(request: Request | undefined): string | undefined {
  // Most requests have no query, and need no parsing.
  if (!request?.url.includes('?')) return undefined;
  return new URL(request.url).searchParams.get('session') || undefined;
}

/** A JSON-RPC error that does not belong to a particular request. */
export function rpcError(
  status: number,
  code: number,
  message: string,
  headers: Record<string, string> = {},
): Response {
  return Response.json({ jsonrpc: '2.0', error: { code, message }, id: null }, { status, headers });
}
