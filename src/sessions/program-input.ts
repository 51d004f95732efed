/** Standard input that a caller streams to a program. */
export class ProgramInput {
  readonly #iterator: AsyncIterator<Uint8Array>;
  readonly #failures: unknown[] = [];

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#iterator = source[Symbol.asyncIterator]();
  }

  /** The bytes as they come. A failure of the source is thrown here, which cancels the program, and again by `check`. */
  async *pieces(): AsyncGenerator<Buffer, void, undefined> {
    try {
      for (let next = await this.#iterator.next(); !next.done; next = await this.#iterator.next()) {
        const { buffer, byteOffset, byteLength } = next.value;
        yield Buffer.from(buffer, byteOffset, byteLength);
      }
    } catch (error) {
      this.#failures.push(error);
      throw error;
    }
  }

  /** Closes the source, because the program has ended. Does not wait: the source may wait for its next bytes for ever. */
  close(): void {
    void this.#iterator.return?.()?.catch(() => {});
  }

  /** Throws the error of the source, if it failed. */
  check(): void {
    if (this.#failures.length > 0) throw this.#failures[0];
  }
}
