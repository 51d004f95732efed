/**
 * The channel's frames: a header of length (4 bytes), type (1) and stream id (4), big-endian, then the payload.
 * The runner's half is sandbox-image/runner/frames.py; the two change together.
 */
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
  /** From the runner, once, on stream 0: JSON about the interpreter, and what an earlier control plane left. */
  ready: 16,
  stdout: 17,
  stderr: 18,
  /** From the runner: JSON of a report; the stream's last frame. */
  end: 19,
  /** From the runner: a new tunnel. */
  open: 20,
  /** Rich results: bytes of a stream of JSON lines. */
  display: 21,
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

export interface Frame {
  readonly type: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export function encodeFrame(type: number, stream: number, payload: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + payload.length);
  frame.writeUInt32BE(payload.length, 0);
  frame.writeUInt8(type, 4);
  frame.writeUInt32BE(stream, 5);
  payload.copy(frame, HEADER_BYTES);
  return frame;
}

/** Cuts a hostile byte stream into frames, holding at most one frame's bytes. */
export class FrameDecoder {
  #chunks: Buffer[] = [];
  #held = 0;
  /** Bytes of the frame under way, header included; 0 while the header is incomplete. */
  #needed = 0;

  /** Yields the frames that `chunk` completes. Payloads may share the chunk's memory. @throws Error on a length over the limit. */
  *decode(chunk: Buffer): Generator<Frame> {
    this.#chunks.push(chunk);
    this.#held += chunk.length;
    while (this.#held >= Math.max(HEADER_BYTES, this.#needed)) {
      const bytes = this.#join();
      const length = bytes.readUInt32BE(0);
      if (length > MAX_PAYLOAD) throw new Error(`frame of ${length} bytes`);
      this.#needed = HEADER_BYTES + length;
      if (bytes.length < this.#needed) return;
      yield {
        type: bytes.readUInt8(4),
        stream: bytes.readUInt32BE(5),
        payload: bytes.subarray(HEADER_BYTES, this.#needed),
      };
      this.#chunks = [bytes.subarray(this.#needed)];
      this.#held = bytes.length - this.#needed;
      this.#needed = 0;
    }
  }

  #join(): Buffer {
    const [first] = this.#chunks;
    const bytes = this.#chunks.length === 1 && first ? first : Buffer.concat(this.#chunks);
    this.#chunks = [bytes];
    return bytes;
  }
}
