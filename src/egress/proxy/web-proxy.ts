import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pace } from '../../lib/pace.ts';
import { lasting } from '../../lib/reused-memory.ts';
import { lendPieces } from '../../lib/sockets/piece-reader.ts';
import type { Log } from '../../log.ts';
import type { WebBounds } from '../bounds.ts';
import type { Grant, WebGrants } from '../grants.ts';
import type { Injector } from '../injector.ts';
import type { Connector } from '../outgoing/connector.ts';
import { HostAgents } from '../outgoing/host-agents.ts';
import { answerRaw, answerRequest, answerUnreadable, endAfterFlush, toAnswer } from './answers.ts';
import { handleConnect } from './connect.ts';
import { handleRequest } from './forward.ts';
import type { ProxyParts } from './handling.ts';
import { Inbound } from './inbound.ts';
import { handleUpgrade } from './upgrade.ts';

/** Size of the head of a request, in bytes. */
const LARGEST_HEAD = 64 * 1024;
/** Time for a head to come whole, in milliseconds. */
const HEAD_MS = 30_000;
/** Requests that may run at once on a connection; clients wait for each answer. */
const MOST_PIPELINED = 4;
/** Connections of one session at once, those without a token included. */
const MOST_PER_SESSION = 128;
/** Longest time between two looks for connections on which no byte moves, in milliseconds. */
const LONGEST_SWEEP_MS = 5000;

export interface WebProxyOptions {
  readonly grants: Pick<WebGrants, 'find'>;
  readonly connector: Connector;
  /** Secrets that are added to requests. Undefined if there are none. */
  readonly injector: Injector | undefined;
  readonly bounds: Pick<WebBounds, 'idleMs'>;
  readonly log: Log;
}

/** Requests that one session may send, before they wait. */
const REQUESTS = { burst: 2000, perSecond: 500 };

/** The proxy that code uses. It serves streams, and listens at no port. */
export class WebProxy implements Disposable {
  readonly #parts: ProxyParts;
  readonly #server: Server;
  readonly #open = new Map<Duplex, Inbound>();
  readonly #perSession = new Map<string, number>();
  readonly #pace = new Pace(REQUESTS);
  readonly #sweep: NodeJS.Timeout;
  readonly #log: Log;

  constructor({ bounds: { idleMs }, ...options }: WebProxyOptions) {
    const agents = new WeakMap<Grant, HostAgents>();
    const agentsOf = (grant: Grant) => {
      const known = agents.get(grant) ?? new HostAgents(options.connector, grant.signal);
      agents.set(grant, known);
      return known;
    };
    this.#parts = { ...options, agentsOf };
    this.#log = options.log;
    this.#server = this.#createServer();
    this.#sweep = setInterval(
      () => {
        for (const inbound of this.#open.values()) inbound.endIfIdle(idleMs);
      },
      Math.min(LONGEST_SWEEP_MS, idleMs / 4),
    ).unref();
  }

  /** Serves a connection that code of a session has made. */
  connect(stream: Duplex, session: { readonly owner: string; readonly id: string }): void {
    // A stream may fail after it was closed here, when nothing else listens for its errors.
    stream.on('error', () => {});
    const key = JSON.stringify([session.owner, session.id]);
    const open = this.#perSession.get(key) ?? 0;
    if (open >= MOST_PER_SESSION) return void stream.destroy();
    this.#perSession.set(key, open + 1);
    this.#open.set(stream, new Inbound(stream, { owner: session.owner, id: session.id }, key));
    stream.once('close', () => {
      this.#open.delete(stream);
      const left = (this.#perSession.get(key) ?? 1) - 1;
      if (left > 0) this.#perSession.set(key, left);
      else this.#perSession.delete(key);
    });
    lendPieces(stream);
    this.#server.emit('connection', stream);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#sweep);
    for (const stream of this.#open.keys()) stream.destroy();
    this.#server.close();
  }

  #createServer(): Server {
    const server = createServer({
      insecureHTTPParser: false,
      // Checked together with the rest of the head.
      requireHostHeader: false,
      maxHeaderSize: LARGEST_HEAD,
      headersTimeout: HEAD_MS,
      // A body may take as long as its execution, while bytes move.
      requestTimeout: 0,
      keepAliveTimeout: 0,
    });
    server.on('request', (request, response) => void this.#onRequest(request, response));
    const onRaw = (handle: typeof handleConnect) => (request: IncomingMessage, stream: Duplex, head: Buffer) =>
      void this.#onRaw(request, stream, lasting(head), handle);
    server.on('connect', onRaw(handleConnect));
    server.on('upgrade', onRaw(handleUpgrade));
    server.on('clientError', (error, stream) => answerUnreadable(stream, error));
    // The server never listens by itself. Without this event, Node would not check its time limits.
    server.emit('listening');
    return server;
  }

  async #onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket: stream } = request;
    const inbound = this.#open.get(stream);
    if (!inbound || inbound.running >= MOST_PIPELINED) return void stream.destroy();
    inbound.running += 1;
    const before = inbound.answered;
    inbound.answered = new Promise((resolve) => {
      response.once('close', () => {
        inbound.running -= 1;
        inbound.touch();
        if (!response.shouldKeepAlive) linger(request, stream);
        resolve();
      });
    });
    try {
      await this.#turn(inbound, before);
      await handleRequest(this.#parts, inbound, request, response);
    } catch (error) {
      const answer = toAnswer(error);
      if (answer) answerRequest(response, answer);
      else this.#fail(error, inbound);
    }
  }

  async #onRaw(request: IncomingMessage, stream: Duplex, head: Buffer, handle: typeof handleConnect): Promise<void> {
    const inbound = this.#open.get(stream);
    // What is not answered yet would be written in between.
    if (!inbound || inbound.running > 0) return void stream.destroy();
    inbound.running += 1;
    try {
      await this.#turn(inbound, Promise.resolve());
      await handle(this.#parts, inbound, request, stream, head);
    } catch (error) {
      const answer = toAnswer(error);
      if (answer) answerRaw(stream, answer);
      else this.#fail(error, inbound);
    }
  }

  /** Waits until the request before is answered, and for the pace of the session. */
  async #turn({ key, signal }: Inbound, before: Promise<void>): Promise<void> {
    const waitMs = this.#pace.take(key);
    await before;
    if (waitMs > 0) await sleep(waitMs, undefined, { signal });
    signal.throwIfAborted();
  }

  #fail(error: unknown, { stream, signal }: Inbound): void {
    if (!signal.aborted) this.#log.error('a connection to the web failed', { error });
    stream.destroy();
  }
}

/** Gives the code time to read the last answer: the unread rest of a request would keep the connection open. */
function linger(request: IncomingMessage, stream: Duplex): void {
  request.resume();
  endAfterFlush(stream);
}
