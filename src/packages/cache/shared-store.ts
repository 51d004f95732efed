import { createHash, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import type { Log } from '../../log.ts';
import type { Bucket, UploadedPart } from '../../s3/bucket.ts';
import { Problem } from '../upstream/problem.ts';
import type { CachedFile, CacheKind, PartialFile } from './disk-cache.ts';

const ROOT = 'packages/';
/** Size of a part that is sent or fetched at once, in bytes. */
const PART_BYTES = 8 * 2 ** 20;
/** Entries that wait to be sent at most. What is beyond is sent when it is downloaded again. */
const MOST_WAITING = 200;
/** Time for which the bucket is not asked after it has failed, in milliseconds, so that no installation waits for it. */
const AVOID_MS = 60_000;
const DAY_MS = 24 * 3_600_000;
/** Shortest time between two removals of what is old, in milliseconds. */
const SWEEP_MS = 3_600_000;
/** Bytes of the checksum before a small entry. */
const SUM_BYTES = 64;

export interface SharedStoreOptions {
  readonly bucket: Bucket;
  /** Age in days from which an entry is removed. */
  readonly days: number;
  /** Keys of all servers, the newest last. With them, only an entry that one of these servers has written is used. */
  readonly keys?: CacheKeys | undefined;
  readonly log: Log;
}

/** Gives 32 random bytes for each key, the newest last. */
export type CacheKeys = () => readonly { readonly bytes: Buffer }[];

/**
 * Package cache of several servers, in a bucket. Files are named by their sha256, and checked by it when they are read;
 * small entries, which name those files, have a checksum before them, by a key if there is one. It is of help only: what it cannot do, it leaves to the index.
 */
export class SharedStore implements AsyncDisposable {
  readonly #bucket: Bucket;
  readonly #log: Log;
  readonly #maxAgeMs: number;
  readonly #keys: CacheKeys | undefined;
  readonly #sweeps: NodeJS.Timeout;
  #notBefore = 0;
  #waiting = 0;
  #last: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor({ bucket, days, keys, log }: SharedStoreOptions) {
    this.#keys = keys;
    this.#bucket = bucket;
    this.#log = log;
    this.#maxAgeMs = days * DAY_MS;
    // Several servers that begin at the same time do not sweep at the same time.
    this.#sweeps = setInterval(() => void this.sweep(), SWEEP_MS * (1 + Math.random()));
    this.#sweeps.unref();
  }

  /** Reads a small entry. Undefined: it is not there, is damaged, or cannot be had now. */
  async read(kind: CacheKind, key: string): Promise<Buffer | undefined> {
    const name = nameOf(kind, key);
    return await this.#try(async () => {
      const object = await this.#bucket.get(name);
      if (!object) return undefined;
      const content = object.body.subarray(SUM_BYTES);
      if (this.#sumsOf(name, content).includes(object.body.toString('latin1', 0, SUM_BYTES))) return content;
      return await this.#discard(name);
    });
  }

  /** Sends a small entry, later. */
  write(kind: CacheKind, key: string, content: Buffer): void {
    const name = nameOf(kind, key);
    const body = Buffer.concat([Buffer.from(this.#sumsOf(name, content).at(-1) ?? '', 'latin1'), content]);
    this.#later(async () => void (await this.#bucket.put(name, body)));
  }

  /** Fetches a file. False, and nothing counts that was written: it is not there, is damaged, or cannot be had now. */
  async fetch(sha256: string, partial: PartialFile): Promise<boolean> {
    const name = nameOf('files', sha256);
    const isWhole = await this.#try(async () => {
      const hash = createHash('sha256');
      for (let [at, total] = [0, 1]; at < total; ) {
        const found = await this.#bucket.getRange(name, at, PART_BYTES);
        if (!found) return false;
        if (at === 0) await partial.grow(found.total);
        total = found.total;
        if (found.body.length === 0) break;
        hash.update(found.body);
        await partial.write(found.body, at);
        at += found.body.length;
      }
      return hash.digest('hex') === sha256 || (await this.#discard(name));
    });
    return isWhole ?? false;
  }

  /** Sends a file, later. @param open opens it, if it is still there then */
  send(sha256: string, open: () => Promise<CachedFile | undefined>): void {
    const name = nameOf('files', sha256);
    this.#later(async () => {
      await using file = await open();
      if (!file || (await this.#bucket.sizeOf(name)) === file.size) return;
      if (file.size <= PART_BYTES) await this.#bucket.put(name, await readPart(file, 0));
      else await this.#sendParts(name, file);
    });
  }

  /** Removes what is older than it may be, by the clock of the storage, and uploads that were never finished. */
  async sweep(): Promise<void> {
    let removed = 0;
    await this.#try(async () => {
      for await (const { key, modifiedMs } of this.#bucket.list(ROOT)) {
        if (modifiedMs >= this.#bucket.now() - this.#maxAgeMs) continue;
        await this.#bucket.delete(key);
        removed += 1;
      }
      for await (const { key, uploadId, begunMs } of this.#bucket.uploads(ROOT))
        if (begunMs < this.#bucket.now() - Math.max(this.#maxAgeMs, DAY_MS)) await this.#bucket.abort(key, uploadId);
    });
    if (removed > 0) this.#log.info('removed old entries of the shared package cache', { removed });
  }

  /** Resolves when all that waits has been sent, or could not be. */
  async idle(): Promise<void> {
    await this.#last;
  }

  /** What is not sent yet is given up: it is in the local cache, and at the index. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#sweeps);
    await this.#bucket.close();
    await this.#last;
  }

  async #sendParts(name: string, file: CachedFile): Promise<void> {
    const uploadId = await this.#bucket.begin(name);
    try {
      const parts: UploadedPart[] = [];
      for (let at = 0; at < file.size; at += PART_BYTES)
        parts.push(await this.#bucket.putPart(name, uploadId, parts.length + 1, await readPart(file, at)));
      await this.#bucket.complete(name, uploadId, parts, file.size);
    } catch (error) {
      await this.#bucket.abort(name, uploadId).catch(() => {});
      throw error;
    }
  }

  /** One after the other: each has a part in memory. */
  #later(work: () => Promise<void>): void {
    if (this.#waiting >= MOST_WAITING) return;
    this.#waiting += 1;
    this.#last = this.#last.then(async () => {
      if (!this.#isClosed) await this.#try(work).catch(() => {});
      this.#waiting -= 1;
    });
  }

  /** Does some work unless the bucket has failed a moment ago. Undefined: it has, or does now. */
  async #try<T>(work: () => Promise<T>): Promise<T | undefined> {
    if (performance.now() < this.#notBefore) return undefined;
    try {
      return await work();
    } catch (error) {
      // Of the server's own cache.
      if (error instanceof Problem) throw error;
      if (this.#isClosed) return undefined;
      this.#notBefore = performance.now() + AVOID_MS;
      this.#log.warn('the shared package cache fails, and is not asked for a minute', { error });
      return undefined;
    }
  }

  /** Checksums that an entry may have; the last one is that of a new entry. */
  #sumsOf(name: string, content: Buffer): string[] {
    const keys = this.#keys?.();
    if (!keys) return [createHash('sha256').update(content).digest('hex')];
    return keys.map(({ bytes }) => {
      const key = Buffer.from(hkdfSync('sha256', bytes, '', 'glovebox package cache', 32));
      return createHmac('sha256', key).update(`${name}\0`).update(content).digest('hex');
    });
  }

  async #discard(name: string): Promise<undefined> {
    this.#log.warn('removed a damaged entry from the shared package cache', { entry: name });
    await this.#bucket.delete(name);
    return undefined;
  }
}

function nameOf(kind: CacheKind, key: string): string {
  return `${ROOT}${kind}/${key.slice(0, 2)}/${key}`;
}

/** Name of an object for a trial. */
export function trialName(): string {
  return `${ROOT}try/${randomBytes(8).toString('hex')}`;
}

async function readPart({ handle, size }: CachedFile, at: number): Promise<Buffer> {
  const buffer = Buffer.alloc(Math.min(PART_BYTES, size - at));
  for (let done = 0; done < buffer.length; ) {
    const { bytesRead } = await handle.read(buffer, done, buffer.length - done, at + done);
    if (bytesRead === 0) throw new Error('a cached file has become shorter');
    done += bytesRead;
  }
  return buffer;
}
