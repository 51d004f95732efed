/** Longest first line of an answer, in bytes. A list of many long names needs that much. */
const LONGEST_HEADER = 4 * 1024 * 1024;

/** Reply of the file program: a line, then bytes. The program pauses until its bytes have been read. */
export class FileReply {
  /** First line. Rejects when the output ends without one, or the line is too long. */
  readonly header: Promise<string>;
  readonly #line: PromiseWithResolvers<string>;
  #begun: Buffer[] | undefined = [];
  #begunBytes = 0;
  readonly #waiting: { chunk: Buffer; release: () => void }[] = [];
  #arrival: PromiseWithResolvers<void> | undefined;
  #ended = false;

  constructor() {
    this.#line = Promise.withResolvers();
    this.header = this.#line.promise;
    this.header.catch(() => {}); // Callers that wait for it get the error.
  }

  /** Takes output as it arrives. The promise settles when it has been read. */
  take(chunk: Buffer): Promise<void> | undefined {
    if (this.#ended) return undefined;
    if (!this.#begun) return this.#hold(chunk);
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
    return end + 1 < chunk.length ? this.#hold(chunk.subarray(end + 1)) : undefined;
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
    for (const { release } of this.#waiting.splice(0)) release();
  }

  /** Reads the bytes after the first line. */
  async *bytes(): AsyncGenerator<Buffer, void, undefined> {
    for (;;) {
      const next = this.#waiting.shift();
      if (next) {
        next.release();
        yield next.chunk;
      } else if (this.#ended) return;
      else {
        this.#arrival = Promise.withResolvers();
        await this.#arrival.promise;
      }
    }
  }

  #hold(chunk: Buffer): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ chunk, release: resolve });
    this.#arrival?.resolve();
    return promise;
  }
}
