import {
  createMcpHandler,
  isInitializeRequest,
  isLegacyRequest,
  type McpServerFactory,
  PROTOCOL_VERSION_META_KEY,
} from '@modelcontextprotocol/server';
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

/**
 * Whether a body is a modern request beyond doubt: a call of a method, other than the old handshake, that names its
 * protocol version. The SDK's own answer has to read every message by several schemas, which it does again afterwards.
 */
function isSurelyModern(body: unknown): boolean {
  if (!isObject(body) || 'result' in body || 'error' in body) return false;
  const { method, params } = body;
  if (typeof method !== 'string' || method === 'initialize' || !isObject(params)) return false;
  const { _meta: meta } = params;
  return isObject(meta) && PROTOCOL_VERSION_META_KEY in meta;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Serves MCP over HTTP on one path: version 2026-07-28 without sessions, and the older versions with sessions. */
export function createStreamableHttp(servers: McpServers, limits: LegacySessionLimits): StreamableHttp {
  const sessions = new LegacySessions(servers, limits);
  const makeServer: McpServerFactory = ({ authInfo, requestInfo }) => {
    const connection = { owner: authInfo?.clientId ?? '', running: 0 };
    // The SDK has compared the header with the body before.
    const method = requestInfo?.headers.get('mcp-method')?.trim() ?? '';
    return method === 'tools/call' || method.startsWith('tasks/')
      ? servers.makeForCall(connection)
      : servers.make(connection);
  };
  const modern = createMcpHandler(makeServer, {
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
        parsedBody = parseJson(c.get('body'));
      } catch (thrown) {
        if (thrown instanceof GloveboxError) return rpcError(400, -32_600, `${thrown.message} ${thrown.hint}`);
        return rpcError(400, -32_700, 'The body is not valid JSON.');
      }
    }
    if (hasLongMethod(parsedBody)) return rpcError(400, -32_600, 'The name of the method is too long.');
    servers.watch(request, () => c.env.outgoing?.writableNeedDrain ?? false);
    const owner = c.get('owner');
    if (isSurelyModern(parsedBody) || !(await isLegacyRequest(request, parsedBody))) {
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
