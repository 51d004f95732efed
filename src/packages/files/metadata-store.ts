import { createHash } from 'node:crypto';
import { lstat, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { undefinedIfMissing } from '../../lib/read-if-present.ts';
import type { CachedFile } from '../cache/disk-cache.ts';
import type { IndexFile } from '../index/index-page.ts';
import { Problem, statusFor } from '../upstream/problem.ts';
import { readBody } from '../upstream/read-body.ts';
import type { FileStore, FileStoreOptions } from './file-store.ts';
import { openRemote } from './remote-ranges.ts';
import { type ReadAt, readUnpackedSize, readWheelMetadata } from './zip-entry.ts';

/** Largest wheel in bytes that is downloaded whole for its metadata: who asks for that mostly installs it next. */
const SMALL_WHEEL_BYTES = 512 * 1024;

/**
 * METADATA files of wheels (PEP 658). Where the index announces none, the file is read from the wheel: from the cache,
 * from a small wheel that is downloaded and checked, or from a few byte ranges of a large one. Byte ranges are not
 * verified, as when an installer reads them itself. They only decide which files are requested next: the wheel that is
 * installed is always checked.
 */
export class MetadataStore {
  readonly #options: FileStoreOptions;
  readonly #files: FileStore;
  readonly #pending = new Map<string, Promise<Buffer>>();
  readonly #closing = new AbortController();

  constructor(options: FileStoreOptions, files: FileStore) {
    this.#options = options;
    this.#files = files;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#pending.values());
  }

  /** Reads the METADATA of a wheel. @throws Problem when it cannot be obtained */
  async get(file: IndexFile): Promise<Buffer> {
    // The key includes the URL and the announced hash: what one index says about a wheel does not count for another.
    const identity = JSON.stringify([file.id, file.url, file.coreMetadata]);
    const key = createHash('sha256').update(identity).digest('hex');
    let pending = this.#pending.get(key);
    if (!pending) {
      pending = this.#load(file, key).finally(() => this.#pending.delete(key));
      this.#pending.set(key, pending);
    }
    return await pending;
  }

  /**
   * Size in bytes of a wheel's files once unpacked, as its zip directory says. It is not verified.
   * @throws Problem 404 when the size is not known without downloading a large wheel
   */
  async unpackedSize(file: IndexFile): Promise<number> {
    await using stored = await this.#files.open(file);
    const size = stored
      ? await readUnpackedSize(stored.size, readerOf(stored))
      : await this.#readRemotely(file, readUnpackedSize);
    if (size === undefined) throw new Problem(404, `The unpacked size of ${file.filename} is not known.`);
    return size;
  }

  async #load(file: IndexFile, key: string): Promise<Buffer> {
    const { cache, log } = this.#options;
    const known = await cache.read('metadata', key);
    // A crash can leave an empty file.
    if (known?.length && isAnnounced(file, known)) return known;
    const content = file.coreMetadata ? await this.#readAnnounced(file) : await this.#extract(file);
    await cache.write('metadata', key, content).catch((error: unknown) => {
      log.warn('metadata could not be cached', { file: file.filename, error });
    });
    return content;
  }

  /** Reads the file that the index announces. If it fails there, it must fail here too. */
  async #readAnnounced(file: IndexFile): Promise<Buffer> {
    const url = new URL(file.url);
    url.pathname += '.metadata';
    const { metadataBytes } = this.#options.limits;
    const content =
      url.protocol === 'file:' ? await readMetadataFile(file, metadataBytes) : await this.#fetch(file, url);
    if (!content) {
      const message = `The package index announces the metadata of ${file.filename}, but does not have it.`;
      throw new Problem(404, message, { lasting: true });
    }
    if (isAnnounced(file, content)) return content;
    this.#options.log.warn('metadata does not have the announced hash', { file: file.filename });
    throw new Problem(
      422,
      `The metadata of ${file.filename} does not have the sha256 that the package index announced (hash mismatch).`,
    );
  }

  async #fetch(file: IndexFile, url: URL): Promise<Buffer | undefined> {
    const { limits, upstream, traffic } = this.#options;
    traffic.metadataRequests += 1;
    const headers = { accept: '*/*', 'accept-encoding': 'identity' };
    const unverified = !file.coreMetadata?.sha256;
    const response = await upstream.request(url, { headers, signal: this.#closing.signal, unverified });
    const { status } = response;
    if (status !== 200) {
      response.body.destroy();
      if (status === 404 || status === 410) return undefined;
      throw new Problem(
        statusFor(status),
        `The package index answered ${status} for the metadata of ${file.filename}.`,
      );
    }
    const what = `the metadata of ${file.filename}`;
    const content = await readBody(response, { what, limitBytes: limits.metadataBytes, timeMs: limits.pageMs });
    traffic.bytesFetched += content.length;
    return content;
  }

  async #extract(file: IndexFile): Promise<Buffer> {
    const { limits } = this.#options;
    const content = (await this.#extractRemotely(file)) ?? (await this.#extractStored(file));
    if (content) return content;
    throw new Problem(422, `${file.filename} has no readable metadata of at most ${limits.metadataBytes} bytes.`);
  }

  /** Undefined when the wheel is in the cache, is small, or its server does not support byte ranges. */
  async #extractRemotely(file: IndexFile): Promise<Buffer | undefined> {
    const { limits } = this.#options;
    if (!file.url.startsWith('http') || (file.size ?? Infinity) <= SMALL_WHEEL_BYTES) return undefined;
    await using cached = await this.#files.open(file);
    if (cached) return undefined;
    return await this.#readRemotely(file, (size, read) =>
      size <= SMALL_WHEEL_BYTES ? Promise.resolve(undefined) : readWheelMetadata(size, read, limits.metadataBytes),
    );
  }

  /** Undefined also when the server of the wheel does not support byte ranges. */
  async #readRemotely<T>(
    file: IndexFile,
    use: (size: number, read: ReadAt) => Promise<T | undefined>,
  ): Promise<T | undefined> {
    const { limits, upstream, traffic } = this.#options;
    if (!file.url.startsWith('http')) return undefined;
    traffic.metadataRequests += 1;
    const unverified = Object.keys(file.hashes).length === 0;
    const { url, filename: what } = file;
    const remote = await openRemote(upstream, { url, what, unverified, limits, signal: this.#closing.signal });
    return remote && (await use(remote.size, remote.read));
  }

  async #extractStored(file: IndexFile): Promise<Buffer | undefined> {
    await using stored = await this.#files.obtain(file, this.#closing.signal);
    return await readWheelMetadata(stored.size, readerOf(stored), this.#options.limits.metadataBytes);
  }
}

/** Reads the metadata file next to a file of a local directory. Symbolic links are not followed. */
async function readMetadataFile({ url }: IndexFile, limitBytes: number): Promise<Buffer | undefined> {
  const path = `${fileURLToPath(url)}.metadata`;
  const found = await lstat(path).catch(undefinedIfMissing);
  return found?.isFile() && found.size <= limitBytes ? await readFile(path) : undefined;
}

function isAnnounced({ coreMetadata }: IndexFile, content: Buffer): boolean {
  const expected = coreMetadata?.sha256;
  return expected === undefined || createHash('sha256').update(content).digest('hex') === expected;
}

function readerOf({ handle }: CachedFile): ReadAt {
  return async (start, length) => {
    const buffer = Buffer.alloc(length);
    const { bytesRead } = await handle.read(buffer, 0, length, Math.max(0, start));
    return buffer.subarray(0, bytesRead);
  };
}
