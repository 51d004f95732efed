import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { PartialFile } from '../cache/disk-cache.ts';
import type { IndexFile } from '../index/index-page.ts';
import type { GatewayLimits } from '../upstream/limits.ts';
import { HashMismatch, Problem, toProblem } from '../upstream/problem.ts';
import { readSteadily, tooLarge } from '../upstream/read-body.ts';

export interface DownloadSource {
  readonly body: Readable;
  /** Size in bytes, if the server gives it. */
  readonly total?: number | undefined;
}

export interface DownloadSteps {
  open(signal: AbortSignal): Promise<DownloadSource>;
  create(): Promise<PartialFile>;
  /** Moves the complete file into the cache if its sha256 is right. @throws Problem when it is not. */
  accept(partial: PartialFile, sha256: string): Promise<void>;
  readonly limits: GatewayLimits;
}

/** Bytes at the end that readers do not get until the whole file has been checked. */
const WITHHELD_BYTES = 65_536;
/** Bytes that one read of the file asks for. */
const READ_BYTES = 262_144;

/**
 * One download of a file, which any number of readers may follow while it grows. The end of the file is withheld until
 * the hash has been checked, so that nobody gets a complete file that differs from what the index announced.
 * The download is aborted when its last reader leaves.
 */
export class Download {
  readonly file: IndexFile;
  /** Settles once the answer of the index has begun. */
  readonly begun: Promise<void>;
  /** Settles when the file is in the cache. */
  readonly finished: Promise<void>;
  /** Resolves when the partial file is gone; never rejects. */
  readonly closed: Promise<void>;
  #closed: () => void = () => {};
  /** Bytes received so far. */
  received = 0;
  #total: number | undefined;
  #partial: PartialFile | undefined;
  #readers = 0;
  #settled: { failure?: Problem } | undefined;
  #changed = Promise.withResolvers<void>();
  readonly #abort = new AbortController();

  constructor(file: IndexFile, steps: DownloadSteps) {
    this.file = file;
    const begun = Promise.withResolvers<void>();
    this.begun = begun.promise;
    this.closed = new Promise((resolve) => {
      this.#closed = resolve;
    });
    this.finished = this.#run(steps, begun.resolve).then(
      () => this.#settle({}),
      (thrown: unknown) => {
        const failure = this.#abort.signal.aborted ? new Problem(502, 'The download was aborted.') : toProblem(thrown);
        begun.reject(failure);
        this.#settle({ failure });
        throw failure;
      },
    );
    // A rejection reaches those who wait; without this, one that nobody waits for would end the process.
    this.begun.catch(() => {});
    this.finished.catch(() => {});
  }

  /** Size in bytes, known once the download has begun: from the server of the file, or else from the index. */
  get total(): number | undefined {
    return this.#total;
  }

  /** False once the last reader has left before the end. */
  get isAlive(): boolean {
    return !this.#abort.signal.aborted;
  }

  /** Adds a reader. Each call needs a later call of `leave`. */
  join(): void {
    this.#readers += 1;
  }

  /** Removes a reader, and aborts the download if it was the last one. */
  leave(): void {
    this.#readers -= 1;
    if (this.#readers > 0) return;
    if (this.#settled) this.#dispose();
    else this.#abort.abort();
  }

  /** Yields the bytes of the file from the beginning, as they arrive. @throws Problem when the download fails */
  async *follow(): AsyncGenerator<Buffer, void, undefined> {
    let at = 0;
    for (;;) {
      const changed = this.#changed.promise;
      const ready = this.#settled ? this.received : this.received - WITHHELD_BYTES;
      if (this.#settled?.failure) throw this.#settled.failure;
      if (at < ready && this.#partial) {
        const wanted = Buffer.allocUnsafe(Math.min(READ_BYTES, ready - at));
        const { bytesRead } = await this.#partial.handle.read(wanted, 0, wanted.length, at);
        at += bytesRead;
        yield wanted.subarray(0, bytesRead);
      } else if (this.#settled) return;
      else await changed;
    }
  }

  async #run({ open, create, accept, limits }: DownloadSteps, begun: () => void): Promise<void> {
    const { filename: what, size } = this.file;
    const bounds = { what, limitBytes: limits.fileBytes, stallMs: limits.stallMs, stallBytes: limits.stallBytes };
    if (size !== undefined && size > limits.fileBytes) throw tooLarge(bounds);
    const { body, total } = await open(this.#abort.signal);
    try {
      if (total !== undefined && total > limits.fileBytes) throw tooLarge(bounds);
      this.#partial = await create();
      this.#total = total ?? size;
      // Where the size is known, the space is reserved before the first byte.
      if (total !== undefined) await this.#partial.grow(total);
      begun();
      const digests = await this.#receive(readSteadily(body, bounds), this.#partial, total === undefined);
      this.#check(digests);
      await accept(this.#partial, digests.get('sha256') ?? '');
    } finally {
      body.destroy();
    }
  }

  async #receive(
    chunks: AsyncIterable<Buffer>,
    partial: PartialFile,
    isOpenEnded: boolean,
  ): Promise<Map<string, string>> {
    const names = new Set(['sha256', ...Object.keys(this.file.hashes)]);
    const digests = [...names].map((name) => [name, createHash(name)] as const);
    for await (const chunk of chunks) {
      if (isOpenEnded) await partial.grow(chunk.length);
      for (const [, digest] of digests) digest.update(chunk);
      await partial.write(chunk, this.received);
      this.received += chunk.length;
      this.#notify();
    }
    return new Map(digests.map(([name, digest]) => [name, digest.digest('hex')]));
  }

  #check(digests: ReadonlyMap<string, string>): void {
    const { filename, hashes } = this.file;
    const expected = this.#total;
    if (expected !== undefined && this.received !== expected) {
      throw new Problem(502, `The package index sent ${this.received} of the ${expected} bytes of ${filename}.`);
    }
    const wrong = Object.entries(hashes).find(([name, value]) => digests.get(name) !== value);
    if (!wrong) return;
    const [name, announced] = wrong;
    throw new HashMismatch(filename, { name, got: digests.get(name), announced });
  }

  #notify(): void {
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers();
    resolve();
  }

  #settle(end: { failure?: Problem }): void {
    this.#settled = end;
    this.#notify();
    if (this.#readers <= 0) this.#dispose();
  }

  #dispose(): void {
    const partial = this.#partial;
    this.#partial = undefined;
    // A partial file that cannot be removed now is removed at the next start.
    Promise.resolve(partial?.[Symbol.asyncDispose]())
      .catch(() => {})
      .finally(this.#closed);
  }
}
