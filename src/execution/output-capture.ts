/** The part of a stream that a result contains. */
export interface Captured {
  readonly text: string;
  /** Number of bytes left out between head and tail. */
  readonly leftOut: number;
  /** Size of the whole stream in bytes. */
  readonly total: number;
}

/** Keeps the first and the last bytes of a stream of any length, up to a limit. */
export class OutputCapture {
  readonly #headLimit: number;
  readonly #tailLimit: number;
  readonly #head: Buffer[] = [];
  #headBytes = 0;
  /** Ring buffer with the last bytes. */
  #tail: Buffer | undefined;
  /** Number of bytes written to the ring buffer so far. */
  #tailBytes = 0;

  /** @param limit most bytes to keep */
  constructor(limit: number) {
    this.#headLimit = Math.floor(limit / 2);
    this.#tailLimit = limit - this.#headLimit;
  }

  add(chunk: Buffer): void {
    const room = this.#headLimit - this.#headBytes;
    if (room > 0) {
      // A copy, because a small piece would keep its whole chunk in memory.
      const piece = Buffer.from(chunk.subarray(0, room));
      this.#head.push(piece);
      this.#headBytes += piece.length;
    }
    if (chunk.length > room) this.#addToTail(chunk.subarray(Math.max(0, room)));
  }

  /** Number of bytes received. */
  get bytes(): number {
    return this.#headBytes + this.#tailBytes;
  }

  /** @param total size of the whole stream in bytes. If fewer were received, the others count as left out. */
  result(total = this.bytes): Captured {
    if (this.#tailBytes <= this.#tailLimit) {
      return { text: decode(Buffer.concat([...this.#head, this.#readTail()])), leftOut: 0, total };
    }
    const head = withoutPartialEnd(Buffer.concat(this.#head));
    const tail = withoutPartialStart(this.#readTail());
    const leftOut = total - head.length - tail.length;
    return { text: `${decode(head)}${leftOutMark(leftOut)}${decode(tail)}`, leftOut, total };
  }

  #addToTail(chunk: Buffer): void {
    this.#tail ??= Buffer.alloc(this.#tailLimit);
    const kept = chunk.subarray(-this.#tailLimit);
    const at = (this.#tailBytes + chunk.length - kept.length) % this.#tailLimit;
    const copied = kept.copy(this.#tail, at);
    kept.copy(this.#tail, 0, copied);
    this.#tailBytes += chunk.length;
  }

  #readTail(): Buffer {
    if (!this.#tail || this.#tailBytes <= this.#tailLimit)
      return this.#tail?.subarray(0, this.#tailBytes) ?? Buffer.alloc(0);
    const oldest = this.#tailBytes % this.#tailLimit;
    return Buffer.concat([this.#tail.subarray(oldest), this.#tail.subarray(0, oldest)]);
  }
}

/** Returns the mark between head and tail. */
export function leftOutMark(bytes: number): string {
  return `\n… ${bytes} bytes left out …\n`;
}

/** Decodes UTF-8, with a replacement character for each invalid part. */
function decode(bytes: Buffer): string {
  return bytes.toString('utf8');
}

const isContinuation = (byte: number | undefined): boolean => byte !== undefined && (byte & 0xc0) === 0x80;

/** Removes the rest of an incomplete character at the start. */
export function withoutPartialStart(bytes: Buffer): Buffer {
  let start = 0;
  while (start < 3 && isContinuation(bytes[start])) start += 1;
  return bytes.subarray(start);
}

/** Removes an incomplete character at the end. */
export function withoutPartialEnd(bytes: Buffer): Buffer {
  let lead = bytes.length - 1;
  while (lead > bytes.length - 4 && isContinuation(bytes[lead])) lead -= 1;
  const first = bytes[lead] ?? 0;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
  return lead + length > bytes.length ? bytes.subarray(0, lead) : bytes;
}
