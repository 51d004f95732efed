/** Most bytes that wait for a program to read them. More would be memory that the program decides about. */
const MOST_WAITING = 4 * 1024 * 1024;

/** Standard input that stays open, and gets more while its program runs. */
export class OpenInput implements AsyncIterable<Buffer> {
  readonly #pieces: Buffer[] = [];
  #waiting = 0;
  #isClosed = false;
  /** Number of the connection that reads: another one may take over. */
  #reader = 0;
  #wake: () => void = () => {};

  /** Whether more may be written. */
  get isOpen(): boolean {
    return !this.#isClosed;
  }

  /** Adds bytes. False if the program leaves too many unread; then none are added. */
  write(bytes: Buffer): boolean {
    if (this.#waiting + bytes.length > MOST_WAITING) return false;
    this.#waiting += bytes.length;
    if (bytes.length > 0) this.#pieces.push(bytes);
    this.#wake();
    return true;
  }

  /** Lets the program find the end, after all that was written. */
  close(): void {
    this.#isClosed = true;
    this.#wake();
  }

  /** Reads what is written from now on. An earlier reader gets no more. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    this.#reader += 1;
    this.#wake();
    for (const own = this.#reader; own === this.#reader; ) {
      const piece = this.#pieces.shift();
      if (piece) {
        this.#waiting -= piece.length;
        yield piece;
      } else if (this.#isClosed) return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}
