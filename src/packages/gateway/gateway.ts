import { createServer, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Log } from '../../log.ts';
import { DiskCache } from '../cache/disk-cache.ts';
import { LayeredCache } from '../cache/layered-cache.ts';
import type { SharedStore } from '../cache/shared-store.ts';
import { FileStore } from '../files/file-store.ts';
import { MetadataStore } from '../files/metadata-store.ts';
import { Indexes } from '../index/indexes.ts';
import { type GatewayTraffic, noTraffic } from '../upstream/gateway-stats.ts';
import { DEFAULT_LIMITS, type GatewayLimits } from '../upstream/limits.ts';
import { Upstream } from '../upstream/upstream.ts';
import { checkSources, type Sources } from './check-sources.ts';
import { ClientLimits } from './client-limits.ts';
import { type GatewayClient, type GatewayParts, handleRequest } from './handler.ts';

export interface GatewayOptions extends Sources {
  readonly cacheDir: string;
  readonly cacheLimitBytes: number;
  /** Cache that several servers share. It is closed with the gateway. */
  readonly shared?: SharedStore | undefined;
  readonly limits?: Partial<GatewayLimits>;
  readonly log: Log;
}

export interface GatewayStats extends Readonly<GatewayTraffic> {
  readonly cacheBytes: number;
  readonly connections: number;
}

/** The package index for sandboxes. They reach it through tunnels, and nothing else. */
export interface Gateway extends AsyncDisposable {
  /** Serves one connection, and closes it at the end. */
  connect(stream: Duplex, client: GatewayClient): void;
  stats(): GatewayStats;
}

/** Requests that may run at once on a connection; installers wait for each answer. */
const MOST_PIPELINED = 8;
/** Requests that one connection may send in all. */
const MOST_REQUESTS_PER_CONNECTION = 2000;
/** Size of the headers of a request, in bytes. */
const LARGEST_HEAD = 8192;
/** Time for the last answer of a connection to arrive, in milliseconds. */
const LINGER_MS = 2000;

/**
 * Makes a gateway.
 * @throws GloveboxError `invalid_input` for an index, policy entry, CA file or proxy that cannot be used
 */
export function createGateway(options: GatewayOptions): Gateway {
  const { log } = options;
  const { locations, configured, policy } = checkSources(options);
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const upstream = new Upstream({ configured, caFile: options.caFile, proxy: options.proxy, limits });
  const traffic = noTraffic();
  const own = new DiskCache({ dir: options.cacheDir, limitBytes: options.cacheLimitBytes, log });
  const cache = options.shared ? new LayeredCache(own, options.shared) : own;
  const shared = { upstream, cache, limits, traffic, log };
  const indexes = new Indexes(locations, shared);
  const files = new FileStore(shared);
  const metadata = new MetadataStore(shared, files);
  const connections = new Connections({ policy, indexes, files, metadata, limits, traffic, log });
  return {
    connect: (stream, client) => connections.accept(stream, client),
    stats: () => ({ ...traffic, cacheBytes: cache.bytes, connections: connections.size }),
    [Symbol.asyncDispose]: async () => {
      await connections.close();
      await Promise.all([indexes.close(), metadata.close()]);
      await files.close();
      await options.shared?.[Symbol.asyncDispose]();
      upstream.close();
    },
  };
}

/** The open streams of sandboxes. Each one is served as an HTTP connection. */
class Connections {
  readonly #parts: GatewayParts;
  readonly #server: Server;
  readonly #clients: ClientLimits;
  readonly #open = new Map<Duplex, Connection>();
  readonly #requests = new Set<Promise<void>>();
  #isClosed = false;

  constructor(parts: GatewayParts) {
    this.#parts = parts;
    this.#clients = new ClientLimits(parts.limits);
    this.#server = createGatewayServer(parts.limits);
    this.#server.on('request', (request, response) => {
      const connection = this.#open.get(request.socket);
      if (!connection?.begin()) return;
      const isWithinRate = this.#clients.take(connection.state);
      const running = handleRequest(parts, connection.client, request, response, {
        signal: connection.signal,
        isWithinRate,
      }).finally(() => {
        connection.finish(response.shouldKeepAlive);
        this.#requests.delete(running);
      });
      this.#requests.add(running);
    });
  }

  get size(): number {
    return this.#open.size;
  }

  accept(stream: Duplex, client: GatewayClient): void {
    const { owner, session } = client;
    // A stream may fail after it was closed here, when nothing else listens for its errors.
    stream.on('error', () => {});
    const state = this.#isClosed ? undefined : this.#clients.connect(JSON.stringify([owner, session]));
    if (!state) {
      this.#parts.log.debug('package connection refused', { owner, session });
      stream.destroy();
      return;
    }
    const connection = new Connection(stream, { client, state, idleMs: this.#parts.limits.clientIdleMs });
    this.#open.set(stream, connection);
    stream.once('close', () => {
      state.connections -= 1;
      connection.close();
      this.#open.delete(stream);
    });
    this.#server.emit('connection', stream);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const stream of this.#open.keys()) stream.destroy();
    this.#server.close();
    await Promise.allSettled(this.#requests);
  }
}

/** One connection: its running requests, and the timer that ends it when it is idle. */
class Connection {
  readonly client: GatewayClient;
  readonly state: NonNullable<ReturnType<ClientLimits['connect']>>;
  readonly #stream: Duplex;
  readonly #gone = new AbortController();
  #idle: NodeJS.Timeout;
  #running = 0;

  constructor(stream: Duplex, options: Pick<Connection, 'client' | 'state'> & { idleMs: number }) {
    this.#stream = stream;
    this.client = options.client;
    this.state = options.state;
    // Unlike sockets, a Duplex has no timeout, and a half-closed one never ends by itself.
    this.#idle = setTimeout(() => {
      if (this.#running === 0) stream.destroy();
    }, options.idleMs);
  }

  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  /** Counts a new request. False, and the connection ends, when too many are running. */
  begin(): boolean {
    this.#running += 1;
    if (this.#running > MOST_PIPELINED) this.#stream.destroy();
    return !this.#stream.destroyed;
  }

  finish(isKept: boolean): void {
    this.#running -= 1;
    if (this.#stream.destroyed) return;
    if (isKept) {
      this.#idle.refresh();
      return;
    }
    // The unread rest of a refused request would keep the stream open.
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#stream.destroy(), LINGER_MS);
  }

  close(): void {
    clearTimeout(this.#idle);
    this.#gone.abort();
  }
}

function createGatewayServer({ headersMs, clientIdleMs }: GatewayLimits): Server {
  const server = createServer({
    maxHeaderSize: LARGEST_HEAD,
    headersTimeout: headersMs,
    requestTimeout: Math.max(headersMs, 30_000),
    connectionsCheckingInterval: Math.min(5000, headersMs),
    keepAliveTimeout: clientIdleMs,
  });
  server.maxRequestsPerSocket = MOST_REQUESTS_PER_CONNECTION;
  // The server never listens by itself. Without this event, Node would not check its timeouts.
  server.emit('listening');
  return server;
}
