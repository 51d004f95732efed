import { randomUUID } from 'node:crypto';
import {
  type JSONRPCMessage,
  type MessageExtraInfo,
  parseJSONRPCMessage,
  type Transport,
} from '@modelcontextprotocol/server';
import { type SSEStreamingApi, streamSSE } from 'hono/streaming';
import { GloveboxError } from '../errors.ts';
import { parseJson } from '../lib/json-input.ts';
import { type Connection, type McpHandler, rpcError, sessionInAddress } from './connection.ts';
import type { McpServers } from './server.ts';

export interface HttpSse {
  /** `GET /sse`: the stream of a session that lives as long as it is open. */
  readonly open: McpHandler;
  /** `POST /messages?sessionId=…`. */
  readonly post: McpHandler;
  /** Ends all streams and aborts the calls under way. */
  close(): Promise<void>;
}

export interface HttpSseOptions {
  /** Open streams: of one owner, and of all. */
  readonly maxSessionsPerOwner: number;
  readonly maxSessions: number;
  /** Where messages are posted; the path that `post` is mounted on. */
  readonly messagesPath: string;
  readonly keepAliveMs?: number;
  /** Bytes that may wait for a client that does not read. */
  readonly maxUnsentBytes?: number;
}

const MAX_UNSENT_BYTES = 8 * 1024 * 1024;

/** The oldest transport: everything that a client sent ends when it goes away. */
class SseTransport implements Transport {
  readonly sessionId = randomUUID();
  readonly #stream: SSEStreamingApi;
  readonly #maxUnsentBytes: number;
  readonly #cutOff: () => void;
  #unsentBytes = 0;
  onclose?: () => void;
  onerror?: (error: Error) => void;
  onmessage?: (message: JSONRPCMessage, extra?: MessageExtraInfo) => void;

  /** @param cutOff ends the stream of a client that leaves more than `maxUnsentBytes` unread */
  constructor(stream: SSEStreamingApi, maxUnsentBytes: number, cutOff: () => void) {
    this.#stream = stream;
    this.#maxUnsentBytes = maxUnsentBytes;
    this.#cutOff = cutOff;
  }

  /** Whether the client has yet to take what it was sent. */
  get isBehind(): boolean {
    return this.#unsentBytes > 0;
  }

  async start(): Promise<void> {}

  /** Settles when the client has taken it. */
  async send(message: JSONRPCMessage): Promise<void> {
    const data = JSON.stringify(message);
    const bytes = Buffer.byteLength(data);
    // One message alone is sent whatever its size: the limits of a result bound it.
    if (this.isBehind && this.#unsentBytes + bytes > this.#maxUnsentBytes) return this.#cutOff();
    this.#unsentBytes += bytes;
    try {
      await this.#stream.writeSSE({ event: 'message', data });
    } finally {
      this.#unsentBytes -= bytes;
    }
  }

  async close(): Promise<void> {
    if (this.#stream.closed) return;
    void this.#stream.close(); // Settles only when a slow client has read what was written before.
    this.onclose?.();
  }
}

interface SseSession extends Connection {
  readonly transport: SseTransport;
}

export function createHttpSse(servers: McpServers, options: HttpSseOptions): HttpSse {
  const sessions = new Map<string, SseSession>();
  const isFull = (owner: string) => {
    if (sessions.size >= options.maxSessions) return true;
    return [...sessions.values()].filter((session) => session.owner === owner).length >= options.maxSessionsPerOwner;
  };
  const open: McpHandler = (c) => {
    // A HEAD has no body to stream, so nothing would ever end the session.
    if (c.req.method !== 'GET') return rpcError(405, -32_000, 'Method not allowed.', { Allow: 'GET' });
    const { owner } = c.var;
    if (isFull(owner)) return rpcError(503, -32_000, 'Too many SSE streams: close one, or try again later.');
    return streamSSE(c, async (stream) => {
      const transport = new SseTransport(stream, options.maxUnsentBytes ?? MAX_UNSENT_BYTES, () => {
        servers.log.warn('An SSE stream was ended: its client does not read what it is sent.', { owner });
        c.env.outgoing?.destroy();
        void transport.close();
      });
      const addressed = sessionInAddress(c.req.raw);
      const session: SseSession = { owner, transport, binding: {}, running: 0, addressed };
      const ended = Promise.withResolvers<void>();
      stream.onAbort(() => void transport.close());
      const server = servers.make(session);
      server.server.onclose = ended.resolve;
      await server.connect(transport);
      sessions.set(transport.sessionId, session);
      const keepAlive = setInterval(() => {
        if (!transport.isBehind) void stream.write(': keepalive\n\n');
      }, options.keepAliveMs ?? 15_000);
      await stream.writeSSE({ event: 'endpoint', data: `${options.messagesPath}?sessionId=${transport.sessionId}` });
      await ended.promise;
      clearInterval(keepAlive);
      sessions.delete(transport.sessionId);
      servers.release(session);
    });
  };
  const post: McpHandler = (c) => {
    const session = sessions.get(c.req.query('sessionId') ?? '');
    if (session?.owner !== c.var.owner) return rpcError(404, -32_001, 'Session not found: open GET /sse again.');
    let message: JSONRPCMessage;
    try {
      message = parseJSONRPCMessage(parseJson(c.var.body));
    } catch (thrown) {
      if (thrown instanceof GloveboxError) return rpcError(400, -32_600, `${thrown.message} ${thrown.hint}`);
      return rpcError(400, -32_700, 'The body is not a JSON-RPC message.');
    }
    session.transport.onmessage?.(message, { request: c.req.raw });
    return c.text('Accepted', 202);
  };
  const close = async () => void (await Promise.all([...sessions.values()].map(({ transport }) => transport.close())));
  return { open, post, close };
}
