import { createServer, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Log } from '../../log.ts';
import { DiskCache } from '../cache/disk-cache.ts';
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
  readonly limits?: Partial<GatewayLimits>;
  readonly log: Log;
}

export interface GatewayStats extends Readonly<GatewayTraffic> {
  readonly cacheBytes: number;
  readonly connections: number;
}

/** The package index that sandboxes reach through their tunnels: the one thing they can reach. */
export interface Gateway extends AsyncDisposable {
  /** Takes the bytes of one connection, and closes it in the end. */
  connect(stream: Duplex, client: GatewayClient): void;
  stats(): GatewayStats;
}

/** Requests that a connection may have under way: installers wait for each answer. */
const MOST_PIPELINED = 8;
const MOST_REQUESTS_PER_CONNECTION = 2000;
const LARGEST_HEAD = 8192;
/** For the last answer of a connection to arrive. */
const LINGER_MS = 2000;

/** @throws GloveboxError `invalid_input` for an index, policy entry, CA file or proxy that cannot be used. */
export function createGateway(options: GatewayOptions): Gateway {
  const { log } = options;
  const { locations, configured, policy } = checkSources(options);
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const upstream = new Upstream({ configured, caFile: options.caFile, proxy: options.proxy, limits });
  const traffic = noTraffic();
  const cache = new DiskCache({ dir: options.cacheDir, limitBytes: options.cacheLimitBytes, log });
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
      upstream.close();
    },
  };
}

/** Streams of sandboxes, each served as an HTTP connection. */
class Connections {
  readonly #parts: GatewayParts;
  readonly #server: Server;
  readonly #clients: ClientLimits;
  readonly #open = new Map<Duplex, Connection>();
  readonly #running = new Set<Promise<void>>();
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
        this.#running.delete(running);
      });
      this.#running.add(running);
    });
  }

  get size(): number {
    return this.#open.size;
  }

  accept(stream: Duplex, client: GatewayClient): void {
    const { owner, session } = client;
    // Streams that break say so: nobody else listens once they are closed here.
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
    await Promise.allSettled(this.#running);
  }
}

/** One connection: what is under way on it, and the clock that ends it when nothing is. */
class Connection {
  readonly client: GatewayClient;
  readonly state: NonNullable<ReturnType<ClientLimits['connect']>>;
  readonly #stream: Duplex;
  readonly #gone = new AbortController();
  #idle: NodeJS.Timeout;
  #underWay = 0;

  constructor(stream: Duplex, options: Pick<Connection, 'client' | 'state'> & { idleMs: number }) {
    this.#stream = stream;
    this.client = options.client;
    this.state = options.state;
    // Not every Duplex has a timeout as sockets do; nor does one that is only half closed ever end by itself.
    this.#idle = setTimeout(() => {
      if (this.#underWay === 0) stream.destroy();
    }, options.idleMs);
  }

  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  /** False, and the end of the connection, when there is too much under way. */
  begin(): boolean {
    this.#underWay += 1;
    if (this.#underWay > MOST_PIPELINED) this.#stream.destroy();
    return !this.#stream.destroyed;
  }

  finish(isKept: boolean): void {
    this.#underWay -= 1;
    if (this.#stream.destroyed) return;
    if (isKept) {
      this.#idle.refresh();
      return;
    }
    // What is unread of a refused request would hold a stream open that is no socket.
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
  // A server that never listens checks no timeouts until it is told that it does.
  server.emit('listening');
  return server;
}
