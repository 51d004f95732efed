/**
 * Reads a stream of chunks of any size in the sizes that a format needs. Holds one chunk in memory, or the bytes that
 * one `take` asks for.
 */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #held: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Reads `length` bytes; fewer at the end of the stream. */
  async take(length: number): Promise<Buffer> {
    const pieces: Buffer[] = [];
    let missing = length;
    while (missing > 0 && (await this.#fill())) {
      const piece = this.#shift(missing);
      pieces.push(piece);
      missing -= piece.length;
    }
    return pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces);
  }

  /** Reads a line without its newline. Undefined when there is no newline within `limit` bytes. */
  async line(limit: number): Promise<Buffer | undefined> {
    const pieces: Buffer[] = [];
    let length = 0;
    while (await this.#fill()) {
      const end = this.#held.indexOf(10);
      const piece = this.#shift(end < 0 ? this.#held.length : end);
      length += piece.length;
      if (length > limit) return undefined;
      pieces.push(piece);
      if (end < 0) continue;
      this.#shift(1);
      return Buffer.concat(pieces);
    }
    return undefined;
  }

  /** Yields the next `length` bytes in chunks; fewer at the end of the stream. */
  async *stream(length: number): AsyncGenerator<Buffer, void, undefined> {
    let missing = length;
    while (missing > 0 && (await this.#fill())) {
      const piece = this.#shift(missing);
      missing -= piece.length;
      yield piece;
    }
  }

  /** Tells the source that no more bytes are needed. */
  async close(): Promise<void> {
    await this.#source.return?.();
  }

  async #fill(): Promise<boolean> {
    while (this.#held.length === 0) {
      const { done, value } = await this.#source.next();
      if (done) return false;
      this.#held = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    }
    return true;
  }

  #shift(most: number): Buffer {
    const piece = this.#held.subarray(0, most);
    this.#held = this.#held.subarray(piece.length);
    return piece;
  }
}
