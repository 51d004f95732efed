const NEWLINE = 0x0a;

/** Splits what comes into lines. Each byte is searched once, and pieces are copied: many small ones cost no more. */
export class RequestLines {
  #bytes: Buffer = Buffer.alloc(0);
  #start = 0;
  #end = 0;
  /** Up to where no line ends. */
  #scanned = 0;

  /** Number of bytes that have come and were not taken yet. */
  get length(): number {
    return this.#end - this.#start;
  }

  append(piece: Buffer): void {
    if (this.#end + piece.length > this.#bytes.length) this.#makeRoom(piece.length);
    piece.copy(this.#bytes, this.#end);
    this.#end += piece.length;
  }

  /** Takes the next line, without its end. Undefined if none has come whole. */
  take(): string | undefined {
    const at = this.#bytes.subarray(0, this.#end).indexOf(NEWLINE, this.#scanned);
    this.#scanned = at === -1 ? this.#end : at + 1;
    if (at === -1) return undefined;
    const line = this.#bytes.toString('utf8', this.#start, at);
    this.#start = at + 1;
    if (this.#start === this.#end) this.clear();
    return line;
  }

  clear(): void {
    this.#bytes = Buffer.alloc(0);
    this.#start = 0;
    this.#end = 0;
    this.#scanned = 0;
  }

  #makeRoom(needed: number): void {
    const room = Buffer.allocUnsafe(Math.max(1024, 2 * (this.length + needed)));
    this.#bytes.copy(room, 0, this.#start, this.#end);
    this.#scanned -= this.#start;
    this.#end -= this.#start;
    this.#start = 0;
    this.#bytes = room;
  }
}
