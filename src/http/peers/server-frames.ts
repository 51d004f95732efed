import { Transform, type TransformCallback } from 'node:stream';

/** First byte of a frame that ends a connection (RFC 6455, 5.2). */
const CLOSE = 0x88;
/** Bits of the second byte: whether a mask follows, and the length, or how many bytes have it. */
const MASKED = 0x80;
const LENGTH = 0x7f;
const IN_TWO_BYTES = 126;
const IN_EIGHT_BYTES = 127;
const MASK_BYTES = 4;

/** Passes on what a server sends on a WebSocket, and can end it between two frames. */
export class ServerFrames extends Transform {
  /** The header of a frame, as far as it has come. Empty before it, and within the payload. */
  #header: number[] = [];
  /** Bytes of the payload that have not come yet. */
  #left = 0;
  #last: Buffer | undefined;
  #hasEnded = false;

  /** Ends it with a code and a reason of at most 123 bytes, once the frame that has begun is complete. */
  close(code: number, reason: string): void {
    const said = Buffer.from(reason);
    this.#last = Buffer.concat([Buffer.from([CLOSE, 2 + said.length, code >> 8, code & 0xff]), said]);
    this.#endIfDue();
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    let at = 0;
    while (at < chunk.length && !(this.#last && this.#isBetween)) at += this.#read(chunk, at);
    if (!this.#hasEnded) this.push(chunk.subarray(0, at));
    this.#endIfDue();
    done();
  }

  get #isBetween(): boolean {
    return this.#header.length === 0 && this.#left === 0;
  }

  /** Reads on in a frame. Returns how many bytes. */
  #read(chunk: Buffer, at: number): number {
    if (this.#left > 0) {
      const read = Math.min(this.#left, chunk.length - at);
      this.#left -= read;
      return read;
    }
    this.#header.push(chunk[at] ?? 0);
    const left = payloadAfter(this.#header);
    if (left === undefined) return 1;
    this.#header = [];
    this.#left = left;
    return 1;
  }

  #endIfDue(): void {
    if (!this.#last || this.#hasEnded || !this.#isBetween) return;
    this.#hasEnded = true;
    this.push(this.#last);
    this.push(null);
  }
}

/** Length of the payload after a header. Undefined while more of the header is to come. */
function payloadAfter(header: readonly number[]): number | undefined {
  const [, second] = header;
  if (second === undefined) return undefined;
  const short = second & LENGTH;
  const inBytes = short === IN_TWO_BYTES ? 2 : short === IN_EIGHT_BYTES ? 8 : 0;
  if (header.length < 2 + inBytes + (second & MASKED ? MASK_BYTES : 0)) return undefined;
  return inBytes === 0 ? short : header.slice(2, 2 + inBytes).reduce((length, byte) => length * 256 + byte, 0);
}
