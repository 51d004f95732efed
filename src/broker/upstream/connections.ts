import { unlessAborted } from '../../lib/unless-aborted.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { Access, ToolServer } from '../file/server-entry.ts';
import { ToolFailure } from '../types.ts';
import type { Connection, ConnectionOptions, ListedTool } from './connection.ts';

/** Time in milliseconds for which a connection that nobody uses stays open. */
const IDLE_MS = 300_000;
/** Time in milliseconds for which a list of tools is believed, unless the server says that it has changed. */
const CATALOG_TTL_MS = 300_000;
/** Connections in all. */
const MOST_CONNECTIONS = 500;

export interface ConnectionsOptions {
  readonly hosts: ConnectionOptions['hosts'];
  readonly version: string;
  /** Access of an owner to a server, with secrets. @throws ToolFailure */
  readonly accessFor: (server: ToolServer, owner: string) => Access;
  readonly catalogOf: (server: ToolServer, listed: readonly ListedTool[]) => Catalog;
  readonly onStderr: (server: ToolServer, text: string) => void;
}

/** Whose connection is used. */
export interface Use {
  readonly server: ToolServer;
  readonly owner: string;
  readonly signal: AbortSignal;
}

/** What is connected, and what it lists. */
export interface Link {
  readonly connection: Connection;
  readonly catalog: () => Promise<Catalog>;
}

interface Entry {
  /** What it was opened with. Once the secrets are others, it is not used again. */
  readonly fingerprint: string;
  readonly opened: Promise<Connection>;
  /** Once it is opened. */
  connection: Connection | undefined;
  readonly closing: AbortController;
  catalog: Promise<Catalog> | undefined;
  /** Time of the catalog, in milliseconds. */
  listedAt: number;
  uses: number;
  idle: NodeJS.Timeout | undefined;
}

/**
 * Connections to servers: one for all owners of a server, or one for each owner where they have their own credentials.
 * They are opened when they are needed, and closed when they are not.
 */
export class Connections implements AsyncDisposable {
  readonly #options: ConnectionsOptions;
  readonly #entries = new Map<string, Entry>();
  /** Those that calls still use, after they were taken out of use, as well. */
  readonly #open = new Set<Entry>();
  readonly #closes = new Set<Promise<void>>();
  #isClosed = false;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  /** Number of open connections. */
  get size(): number {
    return this.#entries.size;
  }

  /** Does some work with a connection. If the server has forgotten that, it is done once more with another. */
  async use<T>(use: Use, work: (link: Link) => Promise<T>): Promise<T> {
    const first = this.#entryFor(use);
    try {
      return await this.#with(first, use, work);
    } catch (error) {
      if (!first.connection?.isForgotten(error)) throw error;
      this.#retire(first);
      return await this.#with(this.#entryFor(use), use, work);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    for (const entry of this.#open) this.#retire(entry);
    await Promise.all(this.#closes);
  }

  async #with<T>(entry: Entry, { server, signal }: Use, work: (link: Link) => Promise<T>): Promise<T> {
    entry.uses += 1;
    clearTimeout(entry.idle);
    try {
      const connection = await unlessAborted(entry.opened, signal);
      entry.connection = connection;
      return await work({ connection, catalog: () => this.#catalog(entry, connection, server, signal) });
    } finally {
      entry.uses -= 1;
      if (entry.uses === 0) entry.idle = setTimeout(() => this.#retire(entry), IDLE_MS).unref();
    }
  }

  async #catalog(entry: Entry, connection: Connection, server: ToolServer, signal: AbortSignal): Promise<Catalog> {
    const now = performance.now();
    if (!entry.catalog || now - entry.listedAt > CATALOG_TTL_MS) {
      const listing = connection
        .listTools(entry.closing.signal)
        .then((listed) => this.#options.catalogOf(server, listed));
      entry.catalog = listing;
      entry.listedAt = now;
      listing.catch(() => {
        if (entry.catalog === listing) entry.catalog = undefined;
      });
    }
    return await unlessAborted(entry.catalog, signal);
  }

  #entryFor({ server, owner }: Use): Entry {
    if (this.#isClosed) throw new ToolFailure('upstream', 'The server is shutting down.', 'Try again once it is back.');
    const access = this.#options.accessFor(server, owner);
    const key = JSON.stringify(server.credentials === 'owner' ? [server.name, owner] : [server.name]);
    const fingerprint = JSON.stringify(access);
    const known = this.#entries.get(key);
    if (known && known.fingerprint === fingerprint) return known;
    if (known) this.#retire(known);
    this.#makeRoom();
    const made = this.#connect(key, server, access, fingerprint);
    this.#entries.set(key, made);
    return made;
  }

  #connect(key: string, server: ToolServer, access: Access, fingerprint: string): Entry {
    const { hosts, version, onStderr } = this.#options;
    const closing = new AbortController();
    const forget = () => {
      clearTimeout(entry.idle);
      this.#open.delete(entry);
      if (this.#entries.get(key) === entry) this.#entries.delete(key);
    };
    const options: ConnectionOptions = {
      ...{ server, access, hosts, version, onClosed: forget },
      onToolsChanged: () => {
        entry.catalog = undefined;
      },
      onStderr: (text) => onStderr(server, text),
    };
    // Loaded with the first connection: most servers have no tools.
    const opened = import('./connection.ts').then(({ Connection: { open } }) => open(options, closing.signal));
    const entry: Entry = {
      ...{
        fingerprint,
        opened,
        closing,
        connection: undefined,
        catalog: undefined,
        listedAt: 0,
        uses: 0,
        idle: undefined,
      },
    };
    this.#open.add(entry);
    opened.catch(forget);
    return entry;
  }

  /** Makes room for one more. @throws ToolFailure `limit` when all are in use */
  #makeRoom(): void {
    if (this.#entries.size < MOST_CONNECTIONS) return;
    const unused = [...this.#entries.values()].find(({ uses }) => uses === 0);
    if (!unused) {
      const message = `${MOST_CONNECTIONS} connections to tool servers are in use.`;
      throw new ToolFailure('limit', message, 'Try again later.');
    }
    this.#retire(unused);
  }

  /** Takes a connection out of use. Calls that still run with it end by themselves, unless all is closed. */
  #retire(entry: Entry): void {
    for (const [key, other] of this.#entries) if (other === entry) this.#entries.delete(key);
    clearTimeout(entry.idle);
    // The last of its calls sets a timer.
    if (entry.uses > 0 && !this.#isClosed) return;
    entry.closing.abort(new ToolFailure('upstream', 'The connection was closed.', 'Call again.'));
    const closed = entry.opened.then((connection) => connection.close()).catch(() => {});
    this.#closes.add(closed);
    void closed.then(() => this.#closes.delete(closed));
  }
}
