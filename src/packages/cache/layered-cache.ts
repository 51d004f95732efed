import { Problem } from '../upstream/problem.ts';
import type { CachedFile, CacheKind, DiskCache, PackageCache, PartialFile } from './disk-cache.ts';
import type { SharedStore } from './shared-store.ts';

/** Cache of this server before one that several servers share: what is not in the first is looked for in the second. */
export class LayeredCache implements PackageCache {
  readonly #own: DiskCache;
  readonly #shared: SharedStore;
  readonly #fetching = new Map<string, Promise<void>>();

  constructor(own: DiskCache, shared: SharedStore) {
    this.#own = own;
    this.#shared = shared;
  }

  get bytes(): number {
    return this.#own.bytes;
  }

  async open(kind: CacheKind, key: string): Promise<CachedFile | undefined> {
    const own = await this.#own.open(kind, key);
    if (own || kind !== 'files') return own;
    let fetching = this.#fetching.get(key);
    if (!fetching) {
      fetching = this.#fetch(key).finally(() => this.#fetching.delete(key));
      this.#fetching.set(key, fetching);
    }
    await fetching;
    return await this.#own.open(kind, key);
  }

  async read(kind: CacheKind, key: string): Promise<Buffer | undefined> {
    const own = await this.#own.read(kind, key);
    if (own?.length) return own;
    const shared = await this.#shared.read(kind, key);
    if (shared) await this.#own.write(kind, key, shared).catch(ifFull);
    return shared;
  }

  async write(kind: CacheKind, key: string, text: Buffer | string): Promise<void> {
    const content = Buffer.from(text);
    await this.#own.write(kind, key, content);
    this.#shared.write(kind, key, content);
  }

  async remove(kind: CacheKind, key: string): Promise<void> {
    await this.#own.remove(kind, key);
  }

  async create(): Promise<PartialFile> {
    const file = await this.#own.create();
    const commit = async (kind: CacheKind, key: string) => {
      await file.commit(kind, key);
      if (kind === 'files') this.#shared.send(key, () => this.#own.open('files', key));
    };
    return { ...file, commit };
  }

  async #fetch(sha256: string): Promise<void> {
    try {
      await using partial = await this.#own.create();
      if (await this.#shared.fetch(sha256, partial)) await partial.commit('files', sha256);
    } catch (error) {
      // Whoever asks the index next is told of a cache that is too small, with the name of the file.
      ifFull(error);
    }
  }
}

function ifFull(error: unknown): void {
  if (!(error instanceof Problem)) throw error;
}
