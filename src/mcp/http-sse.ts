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
  /** `GET /sse`: opens the stream of a session, which ends with the stream. */
  readonly open: McpHandler;
  /** `POST /messages?sessionId=…`: receives a message for a session. */
  readonly post: McpHandler;
  /** Ends all streams and aborts the running calls. */
  close(): Promise<void>;
}

export interface HttpSseOptions {
  /** Open streams of one owner. */
  readonly maxSessionsPerOwner: number;
  /** Open streams of all owners. */
  readonly maxSessions: number;
  /** Path of `post`, to which clients send messages. */
  readonly messagesPath: string;
  /** Makes ids tell where their sessions are, where there are several servers. */
  readonly mark?: ((id: string) => string) | undefined;
  /** Interval between two keep-alive comments, in milliseconds; 15 s by default. */
  readonly keepAliveMs?: number;
  /** Bytes that may wait for a client that does not read; 8 MiB by default. */
  readonly maxUnsentBytes?: number;
}

const MAX_UNSENT_BYTES = 8 * 1024 * 1024;

/** The oldest transport of MCP. When a client disconnects, its session and all its calls end. */
class SseTransport implements Transport {
  readonly sessionId: string;
  readonly #stream: SSEStreamingApi;
  readonly #maxUnsentBytes: number;
  readonly #cutOff: () => void;
  #unsentBytes = 0;
  onclose?: () => void;
  onerror?: (error: Error) => void;
  onmessage?: (message: JSONRPCMessage, extra?: MessageExtraInfo) => void;

  /** @param cutOff ends the stream of a client that leaves more than `maxUnsentBytes` unread */
  constructor(sessionId: string, stream: SSEStreamingApi, maxUnsentBytes: number, cutOff: () => void) {
    this.sessionId = sessionId;
    this.#stream = stream;
    this.#maxUnsentBytes = maxUnsentBytes;
    this.#cutOff = cutOff;
  }

  /** Whether the client has not yet read all messages. */
  get isBehind(): boolean {
    return this.#unsentBytes > 0;
  }

  async start(): Promise<void> {}

  /** Sends a message. Resolves when the client has read it. */
  async send(message: JSONRPCMessage): Promise<void> {
    const data = JSON.stringify(message);
    const bytes = Buffer.byteLength(data);
    // A single message is sent whatever its size, which the limits on results bound.
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
    void this.#stream.close(); // Resolves only when a slow client has read all earlier messages.
    this.onclose?.();
  }
}

interface SseSession extends Connection {
  readonly transport: SseTransport;
}

export function createHttpSse(servers: McpServers, options: HttpSseOptions): HttpSse {
  const sessions = new Map<string, SseSession>();
  const { mark = (id) => id } = options;
  const isFull = (owner: string) => {
    if (sessions.size >= options.maxSessions) return true;
    return [...sessions.values()].filter((session) => session.owner === owner).length >= options.maxSessionsPerOwner;
  };
  const open: McpHandler = (c) => {
    // A HEAD request has no stream whose end could end the session.
    if (c.req.method !== 'GET') return rpcError(405, -32_000, 'Method not allowed.', { Allow: 'GET' });
    const { owner } = c.var;
    if (isFull(owner)) return rpcError(503, -32_000, 'Too many SSE streams. Close one, or try again later.');
    return streamSSE(c, async (stream) => {
      const transport = new SseTransport(mark(randomUUID()), stream, options.maxUnsentBytes ?? MAX_UNSENT_BYTES, () => {
        servers.log.warn('An SSE stream was closed because its client does not read.', { owner });
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
    if (session?.owner !== c.var.owner) return rpcError(404, -32_001, 'Session not found. Open GET /sse again.');
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
