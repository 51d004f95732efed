import { freePiece } from './owned-memory.ts';

/** First size of the memory, in bytes. It doubles when it is full. */
const LEAST_CAPACITY = 32 * 1024;

/** Where a text stands in the memory. */
interface Span {
  at: number;
  readonly bytes: number;
}

/**
 * Texts that are dropped in the order in which they were added. They are outside the heap, in memory that is used again:
 * strings that live for some seconds make the heap grow, and the pages of their garbage stay with the process.
 */
export class TextRing {
  readonly #most: number;
  #memory = Buffer.alloc(0);
  /** The oldest first. */
  #spans: Span[] = [];

  /** @param most largest size of the memory, in bytes */
  constructor(most: number) {
    this.#most = most;
  }

  /**
   * Adds a text, which must be well-formed Unicode.
   * @returns a function that reads it until it is dropped; undefined if there is no room for it
   */
  add(text: string): (() => string) | undefined {
    const bytes = Buffer.byteLength(text);
    const at = this.#place(bytes) ?? this.#grow(bytes);
    if (at === undefined) return undefined;
    this.#memory.write(text, at);
    const span = { at, bytes };
    this.#spans.push(span);
    return () => this.#memory.toString('utf8', span.at, span.at + bytes);
  }

  dropOldest(): void {
    this.#spans.shift();
  }

  /** Frees what is not in use. */
  shrink(): void {
    const used = this.#used();
    if (used < this.#memory.length) this.#move(used);
  }

  /** Where so many bytes in a row are free. */
  #place(bytes: number): number | undefined {
    const { length } = this.#memory;
    const [oldest] = this.#spans;
    const newest = this.#spans.at(-1);
    if (!oldest || !newest) return bytes <= length ? 0 : undefined;
    const end = newest.at + newest.bytes;
    const isWrapped = newest.at < oldest.at;
    if ((isWrapped ? oldest.at : length) - end >= bytes) return end;
    return !isWrapped && oldest.at >= bytes ? 0 : undefined;
  }

  /** Takes larger memory, or moves the texts together. Returns where they end, if there is room for more then. */
  #grow(bytes: number): number | undefined {
    const needed = this.#used() + bytes;
    if (needed > this.#most) return undefined;
    let size = Math.max(LEAST_CAPACITY, this.#memory.length);
    while (size < needed) size *= 2;
    return this.#move(Math.min(size, this.#most));
  }

  #used(): number {
    return this.#spans.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Moves the texts to memory of another size, where they stand in a row. Returns where they end. */
  #move(size: number): number {
    const from = this.#memory;
    this.#memory = Buffer.allocUnsafeSlow(size);
    let end = 0;
    for (const span of this.#spans) {
      from.copy(this.#memory, end, span.at, span.at + span.bytes);
      span.at = end;
      end += span.bytes;
    }
    freePiece(from);
    return end;
  }
}
