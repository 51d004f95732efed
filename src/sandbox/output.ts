/** What a result carries of one stream. */
export interface Captured {
  readonly text: string;
  /** Bytes between the text's head and its tail that were left out. */
  readonly leftOut: number;
  /** Bytes of the whole stream. */
  readonly total: number;
}

/** Keeps the first and the last bytes of a stream of any length within a budget. */
export class OutputCapture {
  readonly #headLimit: number;
  readonly #tailLimit: number;
  readonly #head: Buffer[] = [];
  #headBytes = 0;
  #tail: Buffer[] = [];
  #tailBytes = 0;
  #dropped = 0;

  /** @param limit bytes to keep in all */
  constructor(limit: number) {
    this.#headLimit = Math.floor(limit / 2);
    this.#tailLimit = limit - this.#headLimit;
  }

  add(chunk: Buffer): void {
    const room = this.#headLimit - this.#headBytes;
    if (room > 0) {
      // Copied, because a small piece would keep the whole chunk that it was cut from.
      const piece = Buffer.from(chunk.subarray(0, room));
      this.#head.push(piece);
      this.#headBytes += piece.length;
    }
    if (chunk.length > room) this.#addToTail(chunk.subarray(Math.max(0, room)));
  }

  result(): Captured {
    const total = this.#headBytes + this.#dropped + this.#tailBytes;
    if (this.#dropped + this.#tailBytes <= this.#tailLimit) {
      return { text: decode(Buffer.concat([...this.#head, ...this.#tail])), leftOut: 0, total };
    }
    const head = withoutPartialEnd(Buffer.concat(this.#head));
    const tail = withoutPartialStart(Buffer.concat(this.#tail).subarray(-this.#tailLimit));
    const leftOut = total - head.length - tail.length;
    return { text: `${decode(head)}${leftOutMark(leftOut)}${decode(tail)}`, leftOut, total };
  }

  #addToTail(chunk: Buffer): void {
    this.#tail.push(Buffer.from(chunk.subarray(-this.#tailLimit)));
    this.#dropped += Math.max(0, chunk.length - this.#tailLimit);
    this.#tailBytes += Math.min(chunk.length, this.#tailLimit);
    // At twice the limit, so that each byte is moved at most once on average.
    if (this.#tailBytes < 2 * this.#tailLimit) return;
    const joined = Buffer.concat(this.#tail);
    this.#tail = [Buffer.from(joined.subarray(-this.#tailLimit))];
    this.#dropped += joined.length - this.#tailLimit;
    this.#tailBytes = this.#tailLimit;
  }
}

/** Stands between head and tail. */
export function leftOutMark(bytes: number): string {
  return `\n… ${bytes} bytes left out …\n`;
}

/** UTF-8 with a replacement character for each invalid part. */
function decode(bytes: Buffer): string {
  return bytes.toString('utf8');
}

const isContinuation = (byte: number | undefined): boolean => byte !== undefined && (byte & 0xc0) === 0x80;

function withoutPartialStart(bytes: Buffer): Buffer {
  let start = 0;
  while (start < 3 && isContinuation(bytes[start])) start += 1;
  return bytes.subarray(start);
}

/** Bytes without a character at their end that is not whole. */
export function withoutPartialEnd(bytes: Buffer): Buffer {
  let lead = bytes.length - 1;
  while (lead > bytes.length - 4 && isContinuation(bytes[lead])) lead -= 1;
  const first = bytes[lead] ?? 0;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
  return lead + length > bytes.length ? bytes.subarray(0, lead) : bytes;
}
