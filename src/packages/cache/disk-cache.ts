import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { makeDirectory } from '../../lib/make-directory.ts';
import { undefinedIfMissing } from '../../lib/read-if-present.ts';
import type { Log } from '../../log.ts';
import { Problem } from '../upstream/problem.ts';
import { listEntries, removeLeftovers } from './cache-sweep.ts';

/**
 * Kinds of entries. A pin is the hash of a file at its first download, for files whose index gives none.
 * Pins are never evicted.
 */
export const KINDS = ['files', 'metadata', 'pages', 'pins'] as const;
export type CacheKind = (typeof KINDS)[number];

/** An open file of the cache. It can be read to its end even if the entry is removed. */
export interface CachedFile extends AsyncDisposable {
  readonly handle: FileHandle;
  readonly size: number;
}

/** A file that is being written to the cache. Disposing of it before the commit removes it. */
export interface PartialFile extends AsyncDisposable {
  readonly handle: FileHandle;
  /** Reserves space before bytes are written. @throws Problem 507 when they do not fit in the cache. */
  grow(bytes: number): Promise<void>;
  /** @throws Problem 507 when the disk is full. */
  write(content: Buffer, at: number): Promise<void>;
  /** Moves the file to its final name in one step, so that other readers see the whole file or none. */
  commit(kind: CacheKind, key: string): Promise<void>;
}

/** What the gateway needs of a cache. */
export type PackageCache = Pick<DiskCache, 'bytes' | 'open' | 'read' | 'write' | 'remove' | 'create'>;

/** Precision of the time of an entry's last use, in milliseconds. */
const TOUCH_MS = 60_000;
/** Share of the limit that eviction goes down to, so that it does not run again at once. */
const LOW_WATER = 0.9;

/**
 * Files by key in one directory. Their total size is limited, and the least recently used are evicted first.
 * Several processes may share the directory. Files get their names by rename only, the order of use is kept in the
 * files' modification times, and a process counts the files of the others whenever it frees space.
 */
export class DiskCache {
  readonly #dir: string;
  readonly #limitBytes: number;
  readonly #log: Log;
  readonly #opened = new Map<string, number>();
  #bytes = 0;
  #reserved = 0;
  #ready: Promise<void> | undefined;
  #evicting: Promise<void> = Promise.resolve();

  constructor(options: { dir: string; limitBytes: number; log: Log }) {
    this.#dir = options.dir;
    this.#limitBytes = options.limitBytes;
    this.#log = options.log;
  }

  /** Total size of the finished entries in bytes, as far as this process knows. */
  get bytes(): number {
    return this.#bytes;
  }

  async open(kind: CacheKind, key: string): Promise<CachedFile | undefined> {
    await this.#prepare();
    const path = this.#path(kind, key);
    const handle = await open(path, 'r').catch(undefinedIfMissing);
    if (!handle) return undefined;
    const { size, mtimeMs } = await handle.stat();
    const now = new Date();
    // Reading also works in a directory that this process cannot write to.
    if (now.getTime() - mtimeMs > TOUCH_MS) await handle.utimes(now, now).catch(() => {});
    this.#opened.set(path, (this.#opened.get(path) ?? 0) + 1);
    return { handle, size, [Symbol.asyncDispose]: () => this.#close(path, handle) };
  }

  /** Reads a whole entry, which must be small. */
  async read(kind: CacheKind, key: string): Promise<Buffer | undefined> {
    await using file = await this.open(kind, key);
    return file ? await file.handle.readFile() : undefined;
  }

  async write(kind: CacheKind, key: string, text: Buffer | string): Promise<void> {
    const content = Buffer.from(text);
    await using file = await this.create();
    await file.grow(content.length);
    await file.write(content, 0);
    await file.commit(kind, key);
  }

  async remove(kind: CacheKind, key: string): Promise<void> {
    await rm(this.#path(kind, key), { force: true });
  }

  async create(): Promise<PartialFile> {
    await this.#prepare();
    const path = join(this.#dir, 'tmp', `${hostname()}.${process.pid}.${randomBytes(8).toString('hex')}`);
    const handle = await open(path, 'wx+', 0o600);
    let reserved = 0;
    const release = () => {
      this.#reserved -= reserved;
      reserved = 0;
    };
    return {
      handle,
      grow: async (bytes) => {
        reserved += bytes;
        this.#reserved += bytes;
        await this.#freeSpace();
      },
      write: (content, at) => writeFully(handle, content, at),
      commit: async (kind, key) => {
        await this.#moveIntoPlace(path, this.#path(kind, key));
        this.#bytes += reserved;
        release();
      },
      [Symbol.asyncDispose]: async () => {
        release();
        await handle.close();
        await rm(path, { force: true });
      },
    };
  }

  async #moveIntoPlace(from: string, to: string): Promise<void> {
    await mkdir(dirname(to), { recursive: true });
    const replaced = await stat(to).catch(undefinedIfMissing);
    await rename(from, to);
    this.#bytes -= replaced?.size ?? 0;
  }

  async #close(path: string, handle: FileHandle): Promise<void> {
    const left = (this.#opened.get(path) ?? 1) - 1;
    if (left > 0) this.#opened.set(path, left);
    else this.#opened.delete(path);
    await handle.close();
  }

  #path(kind: CacheKind, key: string): string {
    return join(this.#dir, kind, key.slice(0, 2), key);
  }

  #prepare(): Promise<void> {
    this.#ready ??= this.#start().catch((cause: unknown) => {
      this.#ready = undefined;
      throw new Problem(507, 'The package cache of this server cannot be used.', { cause });
    });
    return this.#ready;
  }

  async #start(): Promise<void> {
    for (const name of [...KINDS, 'tmp']) makeDirectory(join(this.#dir, name));
    await removeLeftovers(join(this.#dir, 'tmp'));
    await this.#freeSpace(true);
  }

  async #freeSpace(recount = false): Promise<void> {
    if (!recount && this.#bytes + this.#reserved <= this.#limitBytes) return;
    // One eviction at a time: the next one counts the space that this one freed.
    this.#evicting = this.#evicting.then(() => this.#evict(recount));
    await this.#evicting;
    if (this.#bytes + this.#reserved <= this.#limitBytes) return;
    throw new Problem(
      507,
      'The package does not fit in the package cache of this server. The operator can raise GLOVEBOX_CACHE_MB.',
    );
  }

  async #evict(recount: boolean): Promise<void> {
    if (!recount && this.#bytes + this.#reserved <= this.#limitBytes) return;
    const entries = await listEntries(
      this.#dir,
      KINDS.filter((kind) => kind !== 'pins'),
    );
    this.#bytes = entries.reduce((sum, { size }) => sum + size, 0);
    if (this.#bytes + this.#reserved <= this.#limitBytes) return;
    const goal = Math.max(0, this.#limitBytes * LOW_WATER - this.#reserved);
    let removed = 0;
    for (const { path, size } of entries.sort((one, other) => one.usedMs - other.usedMs)) {
      if (this.#bytes <= goal) break;
      if (this.#opened.has(path)) continue;
      await rm(path, { force: true });
      this.#bytes -= size;
      removed += 1;
    }
    this.#log.info('package cache evicted entries', { removed, bytes: this.#bytes });
  }
}

async function writeFully(handle: FileHandle, content: Buffer, at: number): Promise<void> {
  try {
    for (let done = 0; done < content.length; ) {
      done += (await handle.write(content, done, content.length - done, at + done)).bytesWritten;
    }
  } catch (cause) {
    throw new Problem(507, 'The package cache of this server cannot be written: its disk is full or failing.', {
      cause,
    });
  }
}
