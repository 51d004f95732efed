import { Transform, type TransformCallback } from 'node:stream';
import type { Scrubber, Scrubbing } from '../../secrets/scrubbing/scrubber.ts';

const SHORTEST_HEADER = 2;
/** Bits of the second byte of a frame: whether it is masked, and its length. */
const MASKED = 0x80;
const LENGTH = 0x7f;
/** Bits of the first byte that only extensions use, such as those that compress. */
const OF_EXTENSIONS = 0x70;
/** Lengths that say in how many bytes the length follows. */
const LENGTH_IN_2 = 126;
const LENGTH_IN_8 = 127;

/**
 * Masks secrets in the frames of a WebSocket by stars, without a change of their lengths. A frame is passed on as soon as it
 * is whole: code may wait for it before it says anything.
 */
export class FrameScrub extends Transform {
  readonly #scrubber: Scrubber;
  #header: Buffer = Buffer.alloc(0);
  /** The payload that is passing. Undefined within a header. */
  #payload: { readonly scrubbing: Scrubbing; left: number } | undefined;

  constructor(scrubber: Scrubber) {
    super();
    this.#scrubber = scrubber;
  }

  override _transform(piece: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    let rest = piece;
    while (rest.length > 0) {
      const taken = this.#payload ? this.#passPayload(this.#payload, rest) : this.#passHeader(rest);
      if (taken === undefined) {
        done(new Error('the host sent a frame that it may not send'));
        return;
      }
      rest = rest.subarray(taken);
    }
    done();
  }

  /** Takes bytes of a header, and passes it on once it is whole. Undefined if it is none that a host may send. */
  #passHeader(piece: Buffer): number | undefined {
    const known = Buffer.concat([this.#header, piece.subarray(0, headerLength(this.#header) - this.#header.length)]);
    const taken = known.length - this.#header.length;
    const [first = 0, second = 0] = known;
    // What is masked or compressed could not be searched, and clients take neither.
    if ((first & OF_EXTENSIONS) !== 0 || (second & MASKED) !== 0) return undefined;
    this.#header = known;
    if (known.length < headerLength(known)) return taken;
    const left = payloadLength(known);
    this.push(known);
    this.#header = Buffer.alloc(0);
    if (left > 0) this.#payload = { scrubbing: this.#scrubber.begin('stars'), left };
    return taken;
  }

  #passPayload(payload: { readonly scrubbing: Scrubbing; left: number }, piece: Buffer): number {
    const own = piece.subarray(0, Math.min(piece.length, payload.left));
    payload.left -= own.length;
    for (const clean of payload.scrubbing.push(own)) this.push(clean);
    if (payload.left === 0) {
      for (const clean of payload.scrubbing.end()) this.push(clean);
      this.#payload = undefined;
    }
    return own.length;
  }
}

/** Bytes of a header, as far as its beginning tells. */
function headerLength(header: Buffer): number {
  const length = (header[1] ?? 0) & LENGTH;
  if (length === LENGTH_IN_2) return SHORTEST_HEADER + 2;
  return length === LENGTH_IN_8 ? SHORTEST_HEADER + 8 : SHORTEST_HEADER;
}

function payloadLength(header: Buffer): number {
  const length = (header[1] ?? 0) & LENGTH;
  if (length === LENGTH_IN_2) return header.readUInt16BE(SHORTEST_HEADER);
  return length === LENGTH_IN_8 ? Number(header.readBigUInt64BE(SHORTEST_HEADER)) : length;
}
