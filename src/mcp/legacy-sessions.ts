import { randomUUID } from 'node:crypto';
import { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/server';
import { type Connection, rpcError } from './connection.ts';
import { EventLog } from './event-log.ts';
import type { McpServers } from './server.ts';

/** Timers take no more than 24 days. */
const LONGEST_SWEEP_MS = 60_000;

export interface LegacySessionLimits {
  /** A session with no call under way and no open stream ends after so long: JS clients' `close()` sends no DELETE. */
  readonly idleTtlMs: number;
  /** Of one owner: above it the one longest unused makes room, as long as it is idle. */
  readonly maxSessionsPerOwner: number;
  /** Of all owners. Above it, too, an owner's own sessions make room: never another's. */
  readonly maxSessions: number;
}

interface LegacySession extends Connection {
  readonly id: string;
  readonly transport: WebStandardStreamableHTTPServerTransport;
  lastUsedAt: number;
  /** Requests that a client still listens to. */
  streams: number;
}

/**
 * Protocol sessions of 2025-11-25 and before. A client that goes away leaves its calls running,
 * as that protocol wants: DELETE or `notifications/cancelled` end them.
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

  /** Serves a request that names a session; another owner's is as unknown as one that never was. */
  async continue(id: string, owner: string, request: Request, parsedBody: unknown): Promise<Response> {
    const session = this.#sessions.get(id);
    if (session?.owner !== owner) return rpcError(404, -32_001, 'Session not found: initialize a new one.');
    return await this.#serve(session, request, parsedBody);
  }

  /** Serves an `initialize`: a session of its own. */
  async open(owner: string, request: Request, parsedBody: unknown): Promise<Response> {
    if (!this.#makeRoom(owner)) {
      return rpcError(
        503,
        -32_000,
        'There is no room for another MCP session, and none of yours is idle: close one with DELETE, or try again later.',
      );
    }
    const id = randomUUID();
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
    // The map is in order of use: the first is the one longest unused.
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
