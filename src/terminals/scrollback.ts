/** First size of the memory, in bytes. It doubles until it has its full size. */
const LEAST_BYTES = 16 * 1024;

/** The last bytes that a terminal printed, by their offsets in all that it printed. */
export class Scrollback {
  readonly #most: number;
  #memory: Buffer;
  #start = 0;
  #end = 0;

  /** @param most number of bytes to keep */
  constructor(most: number) {
    this.#most = most;
    this.#memory = Buffer.allocUnsafeSlow(Math.min(LEAST_BYTES, most));
  }

  /** Offset of the oldest byte that is kept. */
  get start(): number {
    return this.#start;
  }

  /** Number of bytes that were added in all: the offset of the next one. */
  get end(): number {
    return this.#end;
  }

  /** Number of bytes that are kept. */
  get #length(): number {
    return this.#end - this.#start;
  }

  append(piece: Buffer): void {
    const kept = piece.subarray(Math.max(0, piece.length - this.#most));
    this.#grow(Math.min(this.#most, this.#length + piece.length));
    const { length } = this.#memory;
    const at = (this.#end + piece.length - kept.length) % length;
    const first = kept.copy(this.#memory, at);
    kept.copy(this.#memory, 0, first);
    this.#end += piece.length;
    this.#start = Math.max(this.#start, this.#end - length);
  }

  /** Copies bytes from an offset on, which is kept, at most so many. */
  read(offset: number, most: number): Buffer {
    const size = Math.min(most, this.#end - offset);
    const copied = Buffer.allocUnsafe(size);
    const first = this.#memory.copy(copied, 0, offset % this.#memory.length, this.#memory.length);
    if (first < size) this.#memory.copy(copied, first, 0, size - first);
    return copied;
  }

  /** Keeps no more than the last bytes from now on, in no more memory than they need. */
  trim(most: number): void {
    this.#start = Math.max(this.#start, this.#end - most);
    this.#move(Math.max(1, this.#length));
  }

  #grow(needed: number): void {
    let size = this.#memory.length;
    if (needed <= size) return;
    while (size < needed) size *= 2;
    this.#move(Math.min(size, this.#most));
  }

  #move(size: number): void {
    const kept = this.read(this.#start, this.#length);
    this.#memory = Buffer.allocUnsafeSlow(size);
    const first = kept.copy(this.#memory, this.#start % size);
    kept.copy(this.#memory, 0, first);
  }
}
