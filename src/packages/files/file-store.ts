import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { unlessAborted } from '../../lib/unless-aborted.ts';
import type { Log } from '../../log.ts';
import type { CachedFile, PackageCache, PartialFile } from '../cache/disk-cache.ts';
import { FailureCache } from '../index/failure-cache.ts';
import type { IndexFile } from '../index/index-page.ts';
import type { GatewayTraffic } from '../upstream/gateway-stats.ts';
import type { GatewayLimits } from '../upstream/limits.ts';
import { Problem, statusFor, toProblem } from '../upstream/problem.ts';
import type { Upstream } from '../upstream/upstream.ts';
import { Download, type DownloadSource } from './download.ts';

export interface FileStoreOptions {
  readonly upstream: Upstream;
  readonly cache: PackageCache;
  readonly limits: GatewayLimits;
  readonly traffic: GatewayTraffic;
  readonly log: Log;
}

/** Package files, from the cache or downloaded once for all readers. */
export class FileStore {
  readonly #options: FileStoreOptions;
  readonly #downloads = new Map<string, Download>();
  /** Downloads that still have a partial file. */
  readonly #open = new Set<Download>();
  readonly #failures: FailureCache;
  /** Hashes of files that this process has written or checked once. A crash can leave a cached file truncated. */
  readonly #verified = new Set<string>();

  constructor(options: FileStoreOptions) {
    this.#options = options;
    this.#failures = new FailureCache(options.limits);
  }

  /** Opens the file if it is in the cache, complete and unchanged. */
  async open(file: IndexFile): Promise<CachedFile | undefined> {
    const sha256 = file.hashes.sha256 ?? (await this.#pinned(file));
    if (!sha256) return undefined;
    const cached = await this.#options.cache.open('files', sha256);
    if (!cached || this.#verified.has(sha256)) return cached;
    if ((await digest(cached)) === sha256) {
      this.#verified.add(sha256);
      return cached;
    }
    this.#options.log.warn('removed a damaged file from the package cache', { file: file.filename });
    await cached[Symbol.asyncDispose]();
    await this.#options.cache.remove('files', sha256);
    return undefined;
  }

  /**
   * The running download of a file that is not in the cache, started if there is none. Call `join` on it at once.
   * @throws Problem when the same download failed a moment ago
   */
  download(file: IndexFile): Download {
    // The key includes the URL: a wrong claim of one index about a hash must not block another that has the file.
    const key = JSON.stringify([file.id, file.url]);
    this.#failures.check(key);
    const running = this.#downloads.get(key);
    if (running?.isAlive) return running;
    const { limits, cache } = this.#options;
    const download = new Download(file, {
      limits,
      open: (signal) => this.#fetch(file, signal),
      create: () => cache.create(),
      accept: (partial, sha256) => this.#accept(file, partial, sha256),
    });
    this.#downloads.set(key, download);
    this.#open.add(download);
    void download.closed.then(() => this.#open.delete(download));
    download.finished
      .catch((problem: unknown) => this.#recordFailure(key, download, toProblem(problem)))
      .finally(() => {
        if (this.#downloads.get(key) === download) this.#downloads.delete(key);
        this.#options.traffic.bytesFetched += download.received;
      });
    return download;
  }

  /** Opens the file from the cache, and downloads it first if needed. @throws Problem when it cannot be obtained */
  async obtain(file: IndexFile, signal?: AbortSignal): Promise<CachedFile> {
    const cached = await this.open(file);
    if (cached) return cached;
    const download = this.download(file);
    download.join();
    try {
      await (signal ? unlessAborted(download.finished, signal) : download.finished);
    } finally {
      download.leave();
    }
    const stored = await this.open(file);
    if (!stored)
      throw new Problem(507, `${file.filename} was evicted at once: the package cache of this server is too small.`);
    return stored;
  }

  /** Waits until the downloads, whose readers have left, have ended. */
  async close(): Promise<void> {
    await Promise.all([...this.#open].map(({ closed }) => closed));
  }

  async #fetch(file: IndexFile, signal: AbortSignal): Promise<DownloadSource> {
    const url = new URL(file.url);
    this.#options.traffic.fileRequests += 1;
    if (url.protocol === 'file:') {
      const path = fileURLToPath(url);
      return { body: createReadStream(path, { signal }), total: (await stat(path)).size };
    }
    const unverified = Object.keys(file.hashes).length === 0;
    // Installers hash what is sent, so it must not be compressed on the way.
    const headers = { accept: '*/*', 'accept-encoding': 'identity' };
    const {
      status,
      headers: answered,
      body,
    } = await this.#options.upstream.request(url, { headers, signal, unverified });
    if (status !== 200) {
      body.destroy();
      throw problemOf(file, status);
    }
    const length = Number(answered['content-length']);
    return { body, total: answered['content-length'] && length >= 0 ? length : undefined };
  }

  async #accept(file: IndexFile, partial: PartialFile, sha256: string): Promise<void> {
    const pinned = await this.#pinned(file);
    if (pinned && pinned !== sha256) {
      throw new Problem(
        422,
        `${file.filename} has changed since this server first downloaded it, and the package index gives no hash to check it with.`,
        {
          cause: new Error(
            `sha256 ${sha256} instead of ${pinned}; remove pins/${file.id.slice(0, 2)}/${file.id} from the cache to accept the new file`,
          ),
          lasting: true,
        },
      );
    }
    await partial.commit('files', sha256);
    this.#verified.add(sha256);
    if (!file.hashes.sha256 && !pinned) await this.#options.cache.write('pins', file.id, sha256);
  }

  /** The sha256 that a file had at its first download, if its index gives none (trust on first use). */
  async #pinned(file: IndexFile): Promise<string | undefined> {
    if (file.hashes.sha256) return undefined;
    const text = (await this.#options.cache.read('pins', file.id))?.toString('utf8');
    return text && /^[0-9a-f]{64}$/.test(text) ? text : undefined;
  }

  #recordFailure(key: string, { file, isAlive }: Download, problem: Problem): void {
    if (!isAlive) return;
    const { host } = new URL(file.url);
    this.#options.log.warn('package file failed', { file: file.filename, host, error: problem });
    this.#failures.add(key, problem);
  }
}

async function digest({ handle, size }: CachedFile): Promise<string> {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(262_144);
  for (let at = 0; at < size; ) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
    if (bytesRead === 0) break;
    hash.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
  return hash.digest('hex');
}

function problemOf({ filename }: IndexFile, status: number): Problem {
  if (status === 404 || status === 410) {
    return new Problem(404, `The package index lists ${filename}, but does not have it.`, { lasting: true });
  }
  if (status === 401 || status === 403) {
    return new Problem(
      422,
      `The package index refused ${filename} to this server (${status}). The operator can check the credentials in GLOVEBOX_INDEX_URL.`,
    );
  }
  return new Problem(statusFor(status), `The package index answered ${status} for ${filename}.`);
}
