import { FrameType } from './frames.ts';

/** Most bytes of one frame. */
const CHUNK = 64 * 1024;
/** Most credit, in bytes; more than a real runner grants. Unread data is buffered here, so the sandbox must not decide. */
export const MOST_INPUT_CREDIT = 4 * 1024 * 1024;

/** Sends standard input to a program as fast as it reads. The runner grants credit. */
export class StdinStream {
  readonly #send: (type: number, payload: Buffer) => void;
  #credit = 0;
  #closed = false;
  #wake: () => void = () => {};

  /** @param granted bytes that the runner accepts without a grant */
  constructor(send: (type: number, payload: Buffer) => void, granted: number) {
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

  /** Sends the whole input, then its end. Resolves early when closed. */
  async pump(source: AsyncIterable<Buffer>): Promise<void> {
    for await (const chunk of source) {
      for (let sent = 0; sent < chunk.length; ) {
        if (!(await this.#mayFill())) return;
        const part = chunk.subarray(sent, sent + Math.min(CHUNK, this.#credit));
        this.#credit -= part.length;
        sent += part.length;
        this.#send(FrameType.data, part);
      }
    }
    if (await this.#mayFill()) this.#send(FrameType.fin, Buffer.alloc(0));
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
