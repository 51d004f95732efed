import type { Keep, Kept } from '../lib/reused-memory.ts';

/** Longest first line of an answer, in bytes. A list of many long names needs that much. */
const LONGEST_HEADER = 4 * 1024 * 1024;

/** Bytes of pieces that are read together. */
const BATCH_BYTES = 64 * 1024;

/** A piece that has not been read, and what its sender waits for. */
interface Waiting extends Kept {
  readonly isRead: () => void;
}

/** Reply of the file program: a line, then bytes. The program pauses until its bytes have been read. */
export class FileReply {
  /** First line. Rejects when the output ends without one, or the line is too long. */
  readonly header: Promise<string>;
  readonly #line: PromiseWithResolvers<string>;
  #begun: Buffer[] | undefined = [];
  #begunBytes = 0;
  readonly #waiting: Waiting[] = [];
  #arrival: PromiseWithResolvers<void> | undefined;
  #ended = false;

  constructor() {
    this.#line = Promise.withResolvers();
    this.header = this.#line.promise;
    this.header.catch(() => {}); // Callers that wait for it get the error.
  }

  /** Takes output as it arrives. The promise settles when it has been read. */
  take(chunk: Buffer, keep: Keep): Promise<void> | undefined {
    if (this.#ended) return undefined;
    if (!this.#begun) return this.#hold(keep(chunk));
    const end = chunk.indexOf(10);
    const piece = end < 0 ? chunk : chunk.subarray(0, end);
    this.#begunBytes += piece.length;
    if (this.#begunBytes > LONGEST_HEADER) {
      this.end();
      return undefined;
    }
    this.#begun.push(Buffer.from(piece));
    if (end < 0) return undefined;
    this.#line.resolve(Buffer.concat(this.#begun).toString('utf8'));
    this.#begun = undefined;
    return end + 1 < chunk.length ? this.#hold(keep(chunk.subarray(end + 1))) : undefined;
  }

  /** Marks the end of the output. */
  end(): void {
    this.#ended = true;
    this.#line.reject(new Error('no answer'));
    this.#arrival?.resolve();
  }

  /** Discards all output that has not been read. */
  discard(): void {
    this.end();
    for (const { isRead, release } of this.#waiting.splice(0)) {
      release();
      isRead();
    }
  }

  /**
   * Reads the bytes after the first line, by pieces that have come together. They may be used until the next are asked for:
   * their memory is used again then.
   */
  async *batches(): AsyncGenerator<readonly Buffer[], void, undefined> {
    for (;;) {
      const batch = this.#shift();
      if (batch.length > 0) {
        for (const { isRead } of batch) isRead();
        try {
          yield batch.map(({ bytes }) => bytes);
        } finally {
          for (const { release } of batch) release();
        }
      } else if (this.#ended) return;
      else {
        this.#arrival = Promise.withResolvers();
        await this.#arrival.promise;
      }
    }
  }

  /** Takes the pieces that wait, as many as are read together. */
  #shift(): Waiting[] {
    let bytes = 0;
    let count = 0;
    for (; count < this.#waiting.length && bytes < BATCH_BYTES; count += 1)
      bytes += this.#waiting[count]?.bytes.length ?? 0;
    return this.#waiting.splice(0, count);
  }

  #hold(kept: Kept): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ ...kept, isRead: resolve });
    this.#arrival?.resolve();
    return promise;
  }
}
