import { createMcpHandler, isInitializeRequest, isLegacyRequest } from '@modelcontextprotocol/server';
import { GloveboxError } from '../errors.ts';
import { parseJson } from '../lib/json-input.ts';
import { type McpHandler, rpcError } from './connection.ts';
import { type LegacySessionLimits, LegacySessions } from './legacy-sessions.ts';
import type { McpServers } from './server.ts';
import { streamIfLate } from './stream-if-late.ts';

export interface StreamableHttp {
  /** Serves every method on `/mcp`. */
  readonly handle: McpHandler;
  readonly sessions: LegacySessions;
  /** Ends all sessions and aborts the running calls. */
  close(): Promise<void>;
}

/** Times of late answers. Most calls of an active session take a tenth of `graceMs`. */
const LATE_STREAM = { graceMs: 50, keepAliveMs: 15_000 };
/** Characters of a method's name. */
const LONGEST_METHOD = 1000;
const ALLOW = { Allow: 'GET, POST, DELETE' };
/** Authentication data for the SDK. The HTTP layer has checked the key, which is not passed on. */
const authenticated = (owner: string) => ({ token: '', clientId: owner, scopes: [] });

/** Whether the name of the method is too long. The SDK would take long to process it. */
function hasLongMethod(body: unknown): boolean {
  const method = typeof body === 'object' && body !== null && 'method' in body ? body.method : undefined;
  return typeof method === 'string' && method.length > LONGEST_METHOD;
}

/** Serves MCP over HTTP on one path: version 2026-07-28 without sessions, and the older versions with sessions. */
export function createStreamableHttp(servers: McpServers, limits: LegacySessionLimits): StreamableHttp {
  const sessions = new LegacySessions(servers, limits);
  const modern = createMcpHandler(({ authInfo }) => servers.make({ owner: authInfo?.clientId ?? '', running: 0 }), {
    legacy: 'reject',
    responseMode: 'auto',
    onerror: (error) => servers.log.debug('MCP request refused.', { cause: error }),
  });
  const handle: McpHandler = async (c) => {
    const request = c.req.raw;
    if (!['GET', 'POST', 'DELETE'].includes(request.method))
      return rpcError(405, -32_000, 'Method not allowed.', ALLOW);
    let parsedBody: unknown;
    if (request.method === 'POST') {
      try {
        parsedBody = parseJson(c.var.body);
      } catch (thrown) {
        if (thrown instanceof GloveboxError) return rpcError(400, -32_600, `${thrown.message} ${thrown.hint}`);
        return rpcError(400, -32_700, 'The body is not valid JSON.');
      }
    }
    if (hasLongMethod(parsedBody)) return rpcError(400, -32_600, 'The name of the method is too long.');
    servers.watch(request, () => c.env.outgoing?.writableNeedDrain ?? false);
    const { owner } = c.var;
    if (!(await isLegacyRequest(request, parsedBody))) {
      const answer = modern.fetch(request, { parsedBody, authInfo: authenticated(owner) });
      return await streamIfLate(answer, LATE_STREAM);
    }
    const id = request.headers.get('mcp-session-id');
    if (id !== null) return await sessions.continue(id, owner, request, parsedBody);
    if (isInitializeRequest(parsedBody)) return await sessions.open(owner, request, parsedBody);
    return rpcError(400, -32_000, 'The Mcp-Session-Id header is required. Send initialize first.');
  };
  const close = async () => void (await Promise.all([modern.close(), sessions.close()]));
  return { handle, sessions, close };
}
