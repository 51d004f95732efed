import { randomUUID } from 'node:crypto';
import { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/server';
import { type Connection, rpcError } from './connection.ts';
import { EventLog } from './event-log.ts';
import type { McpServers } from './server.ts';

/** Longest interval between two checks for idle sessions, in milliseconds (timers allow at most 24 days). */
const LONGEST_SWEEP_MS = 60_000;

export interface LegacySessionLimits {
  /** Milliseconds after which a session without calls and streams ends: `close()` of JS clients sends no DELETE. */
  readonly idleTtlMs: number;
  /** Sessions of one owner. Beyond it, the least recently used idle session of the owner is closed. */
  readonly maxSessionsPerOwner: number;
  /** Sessions of all owners. Beyond it, too, only a session of the same owner is closed. */
  readonly maxSessions: number;
  /** Makes ids tell where their sessions are, where there are several servers. */
  readonly mark?: ((id: string) => string) | undefined;
}

interface LegacySession extends Connection {
  readonly id: string;
  readonly transport: WebStandardStreamableHTTPServerTransport;
  lastUsedAt: number;
  /** Number of open streams of the client. */
  streams: number;
}

/**
 * Sessions of protocol version 2025-11-25 and older. The calls of a client that disconnects go on, as that protocol
 * requires. DELETE or `notifications/cancelled` ends them.
 */
export class LegacySessions {
  readonly #servers: McpServers;
  readonly #limits: LegacySessionLimits;
  readonly #sessions = new Map<string, LegacySession>();
  readonly #sweeper: NodeJS.Timeout;

  constructor(servers: McpServers, limits: LegacySessionLimits) {
    this.#servers = servers;
    this.#limits = limits;
    this.#sweeper = setInterval(
      () => this.#sweep(),
      Math.min(LONGEST_SWEEP_MS, Math.max(10, limits.idleTtlMs / 4)),
    ).unref();
  }

  get count(): number {
    return this.#sessions.size;
  }

  /** Serves a request of an existing session. The session of another owner is answered as unknown. */
  async continue(id: string, owner: string, request: Request, parsedBody: unknown): Promise<Response> {
    const session = this.#sessions.get(id);
    if (session?.owner !== owner)
      return rpcError(404, -32_001, 'Session not found. Send "initialize" to open a new one.');
    return await this.#serve(session, request, parsedBody);
  }

  /** Serves an `initialize` request, which opens a session. */
  async open(owner: string, request: Request, parsedBody: unknown): Promise<Response> {
    if (!this.#makeRoom(owner)) {
      return rpcError(
        503,
        -32_000,
        'Too many MCP sessions, and none of yours is idle. Close one with DELETE, or try again later.',
      );
    }
    const id = this.#limits.mark?.(randomUUID()) ?? randomUUID();
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => id,
      onsessioninitialized: () => void this.#sessions.set(id, session),
      eventStore: new EventLog(),
    });
    const session: LegacySession = {
      id,
      owner,
      transport,
      binding: {},
      running: 0,
      streams: 0,
      lastUsedAt: Date.now(),
    };
    const server = this.#servers.make(session);
    await server.connect(transport);
    const onclose = transport.onclose;
    transport.onclose = () => {
      this.#sessions.delete(id);
      this.#servers.release(session);
      onclose?.();
    };
    const response = await this.#serve(session, request, parsedBody);
    if (!this.#sessions.has(id)) await server.close();
    return response;
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper);
    await Promise.all([...this.#sessions.values()].map((session) => session.transport.close()));
  }

  async #serve(session: LegacySession, request: Request, parsedBody: unknown): Promise<Response> {
    session.lastUsedAt = Date.now();
    // The map is in the order of use: the first session is the least recently used.
    if (this.#sessions.delete(session.id)) this.#sessions.set(session.id, session);
    const response = await session.transport.handleRequest(request, parsedBody === undefined ? {} : { parsedBody });
    if (request.method === 'GET' && response.ok) {
      session.streams += 1;
      request.signal.addEventListener(
        'abort',
        () => {
          session.streams -= 1;
          session.lastUsedAt = Date.now();
        },
        { once: true },
      );
    }
    return response;
  }

  #sweep(): void {
    const oldest = Date.now() - this.#limits.idleTtlMs;
    for (const session of this.#sessions.values()) {
      if (session.running === 0 && session.streams === 0 && session.lastUsedAt < oldest) void session.transport.close();
    }
  }

  #makeRoom(owner: string): boolean {
    const { maxSessions, maxSessionsPerOwner } = this.#limits;
    const own = [...this.#sessions.values()].filter((session) => session.owner === owner);
    if (own.length < maxSessionsPerOwner && this.#sessions.size < maxSessions) return true;
    const unused = own.filter((session) => session.running === 0);
    const idle = unused.find((session) => session.streams === 0) ?? unused[0];
    void idle?.transport.close();
    return idle !== undefined;
  }
}
