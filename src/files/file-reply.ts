/** The longest line of JSON that an answer begins with: a listing of many long names. */
const LONGEST_HEADER = 4 * 1024 * 1024;

/** What the file program says: a line, then bytes that wait here, and hold the program back, until they are taken. */
export class FileReply {
  /** The first line. Rejects when the output ends or goes on for too long without one. */
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
    this.header.catch(() => {}); // Whoever waits for it hears of it.
  }

  /** Takes output as it comes; the promise settles when it has been taken from here. */
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

  /** No more comes, or no more is wanted. */
  end(): void {
    this.#ended = true;
    this.#line.reject(new Error('no answer'));
    this.#arrival?.resolve();
  }

  /** Lets go of what has not been taken. */
  discard(): void {
    this.end();
    for (const { release } of this.#waiting.splice(0)) release();
  }

  /** The bytes after the first line, to their end. */
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
