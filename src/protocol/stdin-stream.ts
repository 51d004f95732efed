import { FrameType, type Payload } from './frames.ts';

/** Most bytes of one frame. What waits behind a frame waits longer, the longer it is. */
const CHUNK = 256 * 1024;
/** Most credit, in bytes; more than a real runner grants. Unread data is buffered here, so the sandbox must not decide. */
export const MOST_INPUT_CREDIT = 4 * 1024 * 1024;

/** Sends a frame. `onWritten` is called when its memory is no longer used, with an error if it was not sent. */
export type SendFrame = (type: number, payload: Payload, onWritten?: (error?: Error | null) => void) => void;

/** Sends standard input to a program as fast as it reads. The runner grants credit. */
export class StdinStream {
  readonly #send: SendFrame;
  #credit = 0;
  #closed = false;
  #wake: () => void = () => {};

  /** @param granted bytes that the runner accepts without a grant */
  constructor(send: SendFrame, granted: number) {
    this.#send = send;
    this.#credit = granted;
  }

  /** Adds credit. @throws Error when it is more than a real runner grants */
  grant(bytes: number): void {
    this.#credit += bytes;
    if (this.#credit > MOST_INPUT_CREDIT) throw new Error('input credit beyond its window');
    this.#wake();
  }

  /** Discards the rest, because the program or the connection has ended. */
  close(): void {
    this.#closed = true;
    this.#wake();
  }

  /**
   * Sends the whole input, then its end. Resolves early when closed. The next piece is asked for when the memory of the
   * last one is no longer used.
   */
  async pump(source: AsyncIterable<Payload>): Promise<void> {
    for await (const piece of source) {
      for (let rest: Payload | undefined = piece; rest; ) {
        if (!(await this.#mayFill())) return;
        const part: Payload = takeFirst(rest, Math.min(CHUNK, this.#credit));
        rest = leaveOut(rest, lengthOf(part));
        this.#credit -= lengthOf(part);
        if (!(await this.#write(part))) return;
      }
    }
    if (await this.#mayFill()) this.#send(FrameType.fin, Buffer.alloc(0));
  }

  /** Resolves with whether a part was sent. */
  #write(part: Payload): Promise<boolean> {
    return new Promise((resolve) => this.#send(FrameType.data, part, (error) => resolve(!error)));
  }

  async #mayFill(): Promise<boolean> {
    while (this.#credit === 0 && !this.#closed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return !this.#closed;
  }
}

function lengthOf(payload: Payload): number {
  return Buffer.isBuffer(payload) ? payload.length : payload[0].length + payload[1].length;
}

/** The first bytes of a payload, at most `most`. */
function takeFirst(payload: Payload, most: number): Payload {
  if (Buffer.isBuffer(payload)) return payload.subarray(0, most);
  const [beginning, rest] = payload;
  return most <= beginning.length
    ? beginning.subarray(0, most)
    : [beginning, rest.subarray(0, most - beginning.length)];
}

/** A payload without its first bytes; undefined if nothing is left. */
function leaveOut(payload: Payload, bytes: number): Payload | undefined {
  if (bytes >= lengthOf(payload)) return undefined;
  if (Buffer.isBuffer(payload)) return payload.subarray(bytes);
  const [beginning, rest] = payload;
  return bytes < beginning.length ? [beginning.subarray(bytes), rest] : rest.subarray(bytes - beginning.length);
}
