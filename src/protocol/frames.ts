import type { Writable } from 'node:stream';

/**
 * Frames of the channel: a header of length (4 bytes), type (1) and stream id (4), big-endian, then the payload.
 * sandbox-image/runner/_glovebox/wire/frames.py implements the same format.
 */

/**
 * Version of the protocol. Increased with every incompatible change of frames, requests or reports.
 * The header, `configure` and the `protocol` of `ready` are the same in all versions.
 */
export const PROTOCOL_VERSION = 1;

export const FrameType = {
  /** To the runner: request as JSON, which starts the stream's execution. */
  start: 1,
  /** To the runner: one byte, `i` to interrupt or `k` to kill. */
  stop: 2,
  /** Four bytes: number of further bytes that the stream may send. The runner sends it for tunnels and standard input. */
  credit: 3,
  /** Data of a tunnel in either direction, or data for the standard input of an execution. */
  data: 4,
  /** End of the data in this direction. */
  fin: 5,
  /** The tunnel is closed in both directions. */
  reset: 6,
  /** To the runner, on stream 0, before anything else: configuration as JSON. */
  configure: 7,
  /** To the runner, on stream 0: eight bytes for a `pong`. Only to runners that announce it. */
  ping: 8,
  /** To the runner: asks what an execution has used. Only to runners that announce it. */
  ask: 9,
  /** From the runner, once, on stream 0: greeting as JSON, see `parseGreeting`. */
  ready: 16,
  stdout: 17,
  stderr: 18,
  /** From the runner: report as JSON, the last frame of the stream. */
  end: 19,
  /** From the runner: a new tunnel. The payload names its service. */
  open: 20,
  /** Displays, as a stream of JSON lines. */
  display: 21,
  /** From the runner, on stream 0: notice for the log as JSON. */
  note: 22,
  /** From the runner, on stream 0: the bytes of a `ping`. */
  pong: 23,
  /** From the runner: what an execution has used so far, as JSON. The answer to an `ask`. */
  usage: 24,
} as const;

/** Lowest stream id of tunnels, which the runner opens. Lower ids are executions. */
export const FIRST_TUNNEL = 2 ** 31;

/** Lowest stream id of executions that an earlier control plane began. The runner assigns these ids. */
export const FIRST_KEPT = 2 ** 30;

/** Initial credit of a stream for output, in bytes. */
export const INITIAL_CREDIT = 256 * 1024;

/** Bytes that may be on their way in a tunnel to the web, each way: with fewer, each side would wait for grants. */
export const WEB_WINDOW = 1024 * 1024;

/** Longest payload accepted from a sandbox, in bytes. A report with long paths and a long traceback is shorter. */
const MAX_PAYLOAD = 4 * 1024 * 1024;
const HEADER_BYTES = 9;
/** Size up to which a copy costs less than a second buffer in a write, in bytes. */
const COPIED_BYTES = 4096;

const NOTHING = Buffer.alloc(0);

export interface Frame {
  readonly type: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export function encodeFrame(type: number, stream: number, payload: Buffer): Buffer {
  return Buffer.concat([encodeHeader(type, stream, payload.length), payload]);
}

/** Payload of a frame. A pair is sent as one frame: a short beginning, and what follows it. */
export type Payload = Buffer | readonly [Buffer, Buffer];

/**
 * Writes a frame. A large payload is not copied, to save work for the garbage collector.
 * @param onWritten called when the payload's memory is no longer used; with an error if it was not sent
 */
export function writeFrame(
  target: Writable,
  type: number,
  stream: number,
  payload: Payload,
  onWritten?: (error?: Error | null) => void,
): void {
  const [beginning, rest] = Buffer.isBuffer(payload) ? [NOTHING, payload] : payload;
  const length = beginning.length + rest.length;
  const header = encodeHeader(type, stream, length);
  if (length <= COPIED_BYTES) {
    target.write(Buffer.concat([header, beginning, rest]), onWritten);
    return;
  }
  target.cork();
  target.write(beginning.length > 0 ? Buffer.concat([header, beginning]) : header);
  target.write(rest, onWritten);
  target.uncork();
}

function encodeHeader(type: number, stream: number, length: number): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  header.writeUInt32BE(length, 0);
  header.writeUInt8(type, 4);
  header.writeUInt32BE(stream, 5);
  return header;
}

/** Types of frames whose payload is part of a stream. Each piece of such a payload is passed on as a frame of its own. */
const STREAMED: ReadonlySet<number> = new Set([FrameType.stdout, FrameType.stderr, FrameType.display, FrameType.data]);

/** Splits an untrusted byte stream into frames. Buffers at most one frame, and only of a type that must be complete. */
export class FrameDecoder {
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerBytes = 0;
  /** Number of missing payload bytes of the current frame. */
  #missing = 0;
  #pieces: Buffer[] = [];

  /** Yields the frames that `chunk` completes. Payloads may share the chunk's memory. @throws Error on a length over the limit. */
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

  /** Returns the frame that a piece completes. Each piece of a streamed payload is a frame. */
  #take(piece: Buffer): Frame | undefined {
    const type = this.#header.readUInt8(4);
    const stream = this.#header.readUInt32BE(5);
    if (STREAMED.has(type)) {
      // An empty frame is a frame too.
      return piece.length > 0 || this.#header.readUInt32BE(0) === 0 ? { type, stream, payload: piece } : undefined;
    }
    if (this.#missing === 0 && this.#pieces.length === 0) return { type, stream, payload: piece };
    // A copy, because the memory of a chunk is used again.
    this.#pieces.push(Buffer.from(piece));
    if (this.#missing > 0) return undefined;
    const payload = Buffer.concat(this.#pieces);
    this.#pieces = [];
    return { type, stream, payload };
  }
}
