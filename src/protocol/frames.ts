import type { Writable } from 'node:stream';

/**
 * The channel's frames: a header of length (4 bytes), type (1) and stream id (4), big-endian, then the payload.
 * The runner's half is sandbox-image/runner/_glovebox/wire/frames.py; the two change together.
 */

/**
 * Counts up with every change of what frames mean, requests and reports included, that the other side would misread.
 * The header, `configure` and the `protocol` of `ready` are the same in all versions.
 */
export const PROTOCOL_VERSION = 1;

export const FrameType = {
  /** To the runner: JSON of a request; begins the stream's execution. */
  start: 1,
  /** To the runner: one byte, `i` to interrupt or `k` to kill. */
  stop: 2,
  /** Four bytes: how many more bytes the stream may send. From the runner too, for a tunnel and for standard input. */
  credit: 3,
  /** Either way on a tunnel's stream; to a program's standard input on an execution's. */
  data: 4,
  /** No more data comes this way. */
  fin: 5,
  /** The tunnel is gone, both ways. */
  reset: 6,
  /** To the runner, on stream 0, before anything else: JSON of settings. */
  configure: 7,
  /** From the runner, once, on stream 0: JSON of the protocol's version, and of what `parseGreeting` takes. */
  ready: 16,
  stdout: 17,
  stderr: 18,
  /** From the runner: JSON of a report; the stream's last frame. */
  end: 19,
  /** From the runner: a new tunnel. */
  open: 20,
  /** Rich results: bytes of a stream of JSON lines. */
  display: 21,
  /** From the runner, on stream 0: JSON about the sandbox for the log. */
  note: 22,
} as const;

/** Streams from here on are tunnels, which the runner opens; those below are executions. */
export const FIRST_TUNNEL = 2 ** 31;

/** Streams from here on are executions that an earlier control plane began; the runner gives them their numbers. */
export const FIRST_KEPT = 2 ** 30;

/** Bytes of output that a stream may send before it is granted more. */
export const INITIAL_CREDIT = 256 * 1024;

/** Longest payload that is taken from a sandbox. A report with long paths and a long traceback stays below it. */
const MAX_PAYLOAD = 4 * 1024 * 1024;
const HEADER_BYTES = 9;
/** Bytes up to which a copy costs less than a second buffer in a write. */
const COPIED_BYTES = 4096;

export interface Frame {
  readonly type: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export function encodeFrame(type: number, stream: number, payload: Buffer): Buffer {
  return Buffer.concat([encodeHeader(type, stream, payload.length), payload]);
}

/** Writes a frame. A large payload goes as it is: copies of all that is sent are work for the garbage collector. */
export function writeFrame(target: Writable, type: number, stream: number, payload: Buffer): void {
  if (payload.length <= COPIED_BYTES) {
    target.write(encodeFrame(type, stream, payload));
    return;
  }
  target.cork();
  target.write(encodeHeader(type, stream, payload.length));
  target.write(payload);
  target.uncork();
}

function encodeHeader(type: number, stream: number, length: number): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  header.writeUInt32BE(length, 0);
  header.writeUInt8(type, 4);
  header.writeUInt32BE(stream, 5);
  return header;
}

/** Payloads that are bytes of a stream: they may come in pieces, each of which is a frame as good as any. */
const STREAMED: ReadonlySet<number> = new Set([FrameType.stdout, FrameType.stderr, FrameType.display, FrameType.data]);

/** Cuts a hostile byte stream into frames. Gathers only those that must be whole, and at most one of them. */
export class FrameDecoder {
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerBytes = 0;
  /** Payload bytes of the frame under way that are still to come. */
  #missing = 0;
  #pieces: Buffer[] = [];

  /** Yields the frames that `chunk` completes. Payloads share the chunk's memory. @throws Error on a length over the limit. */
  *decode(chunk: Buffer): Generator<Frame> {
    let offset = 0;
    for (;;) {
      if (this.#headerBytes < HEADER_BYTES) {
        const copied = chunk.copy(this.#header, this.#headerBytes, offset);
        offset += copied;
        this.#headerBytes += copied;
        if (this.#headerBytes < HEADER_BYTES) return;
        this.#missing = this.#header.readUInt32BE(0);
        if (this.#missing > MAX_PAYLOAD) throw new Error(`frame of ${this.#missing} bytes`);
      }
      const piece = chunk.subarray(offset, offset + this.#missing);
      offset += piece.length;
      this.#missing -= piece.length;
      const frame = this.#take(piece);
      if (frame) yield frame;
      if (this.#missing > 0) return;
      this.#headerBytes = 0;
    }
  }

  /** The frame that a piece completes; of a streamed one each piece is a frame. */
  #take(piece: Buffer): Frame | undefined {
    const type = this.#header.readUInt8(4);
    const stream = this.#header.readUInt32BE(5);
    if (STREAMED.has(type)) {
      // An empty frame is one all the same.
      return piece.length > 0 || this.#header.readUInt32BE(0) === 0 ? { type, stream, payload: piece } : undefined;
    }
    this.#pieces.push(piece);
    if (this.#missing > 0) return undefined;
    const payload = this.#pieces.length === 1 ? piece : Buffer.concat(this.#pieces);
    this.#pieces = [];
    return { type, stream, payload };
  }
}
