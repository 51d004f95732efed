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

/** A wheel up to this size is fetched whole for its metadata: whoever asks mostly installs it next. */
const SMALL_WHEEL_BYTES = 512 * 1024;

/**
 * METADATA files (PEP 658). Where the index announces none, they are read out of the wheel: the cached one, a small one that
 * is fetched and checked for it, or the few ranges of a large one. The last are as unproven as when an installer reads
 * them so itself, and decide only what is asked for next: the wheel that is installed is checked as ever.
 */
export class MetadataStore {
  readonly #options: FileStoreOptions;
  readonly #files: FileStore;
  readonly #asking = new Map<string, Promise<Buffer>>();
  readonly #closing = new AbortController();

  constructor(options: FileStoreOptions, files: FileStore) {
    this.#options = options;
    this.#files = files;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#asking.values());
  }

  /** @throws Problem when there is none to be had. */
  async get(file: IndexFile): Promise<Buffer> {
    // By all that it is made of: what one index says of a wheel is not taken for what another says.
    const identity = JSON.stringify([file.id, file.url, file.coreMetadata]);
    const key = createHash('sha256').update(identity).digest('hex');
    let asking = this.#asking.get(key);
    if (!asking) {
      asking = this.#load(file, key).finally(() => this.#asking.delete(key));
      this.#asking.set(key, asking);
    }
    return await asking;
  }

  /**
   * Bytes of a wheel's files once unpacked, by its own directory. As unproven as metadata that is read so.
   * @throws Problem 404 when that cannot be known without the whole of a large wheel.
   */
  async unpackedSize(file: IndexFile): Promise<number> {
    await using stored = await this.#files.open(file);
    const size = stored
      ? await readUnpackedSize(stored.size, readerOf(stored))
      : await this.#readRemotely(file, readUnpackedSize);
    if (size === undefined) throw new Problem(404, `How large ${file.filename} is unpacked is not known.`);
    return size;
  }

  async #load(file: IndexFile, key: string): Promise<Buffer> {
    const { cache, log } = this.#options;
    const known = await cache.read('metadata', key);
    // An empty one is what a crash can leave.
    if (known?.length && isAnnounced(file, known)) return known;
    const content = file.coreMetadata ? await this.#readAnnounced(file) : await this.#extract(file);
    await cache.write('metadata', key, content).catch((error: unknown) => {
      log.warn('metadata could not be cached', { file: file.filename, error });
    });
    return content;
  }

  /** The index's own. Reading it elsewhere would let pass what fails with the index itself. */
  async #readAnnounced(file: IndexFile): Promise<Buffer> {
    const url = new URL(file.url);
    url.pathname += '.metadata';
    const { metadataBytes } = this.#options.limits;
    const content = url.protocol === 'file:' ? await readBeside(file, metadataBytes) : await this.#fetch(file, url);
    if (!content) {
      const message = `The package index announces the metadata of ${file.filename} but does not have it.`;
      throw new Problem(404, message, { lasting: true });
    }
    if (isAnnounced(file, content)) return content;
    this.#options.log.warn('metadata has another hash than announced', { file: file.filename });
    throw new Problem(
      422,
      `The metadata of ${file.filename} is not what the package index announced: its sha256 differs (hash mismatch).`,
    );
  }

  async #fetch(file: IndexFile, url: URL): Promise<Buffer | undefined> {
    const { limits, upstream, traffic } = this.#options;
    traffic.metadataRequests += 1;
    const headers = { accept: '*/*', 'accept-encoding': 'identity' };
    const unproven = !file.coreMetadata?.sha256;
    const response = await upstream.request(url, { headers, signal: this.#closing.signal, unproven });
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

  /** Undefined when the wheel is better read from the cache: it is there, or small, or its server has no ranges. */
  async #extractRemotely(file: IndexFile): Promise<Buffer | undefined> {
    const { limits } = this.#options;
    if (!file.url.startsWith('http') || (file.size ?? Infinity) <= SMALL_WHEEL_BYTES) return undefined;
    await using cached = await this.#files.open(file);
    if (cached) return undefined;
    return await this.#readRemotely(file, (size, read) =>
      size <= SMALL_WHEEL_BYTES ? Promise.resolve(undefined) : readWheelMetadata(size, read, limits.metadataBytes),
    );
  }

  /** Undefined also where the wheel's server has no ranges. */
  async #readRemotely<T>(
    file: IndexFile,
    use: (size: number, read: ReadAt) => Promise<T | undefined>,
  ): Promise<T | undefined> {
    const { limits, upstream, traffic } = this.#options;
    if (!file.url.startsWith('http')) return undefined;
    traffic.metadataRequests += 1;
    const unproven = Object.keys(file.hashes).length === 0;
    const { url, filename: what } = file;
    const remote = await openRemote(upstream, { url, what, unproven, limits, signal: this.#closing.signal });
    return remote && (await use(remote.size, remote.read));
  }

  async #extractStored(file: IndexFile): Promise<Buffer | undefined> {
    await using stored = await this.#files.obtain(file, this.#closing.signal);
    return await readWheelMetadata(stored.size, readerOf(stored), this.#options.limits.metadataBytes);
  }
}

/** What lies beside a file of a directory, and nothing that a link there leads to. */
async function readBeside({ url }: IndexFile, limitBytes: number): Promise<Buffer | undefined> {
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
