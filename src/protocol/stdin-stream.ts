import { FrameType } from './frames.ts';

/** Bytes of one frame. */
const CHUNK = 64 * 1024;
/** More than a runner grants. What is sent and not taken gathers here, so what is hostile may not ask for any amount. */
export const MOST_INPUT_CREDIT = 4 * 1024 * 1024;

/** Standard input on its way to a program, as fast as that reads: the runner says how many bytes it takes. */
export class StdinStream {
  readonly #send: (type: number, payload: Buffer) => void;
  #credit = 0;
  #closed = false;
  #wake: () => void = () => {};

  /** @param granted bytes that the runner takes unasked */
  constructor(send: (type: number, payload: Buffer) => void, granted: number) {
    this.#send = send;
    this.#credit = granted;
  }

  /** Takes what the runner grants. @throws Error when that is more than any runner would */
  grant(bytes: number): void {
    this.#credit += bytes;
    if (this.#credit > MOST_INPUT_CREDIT) throw new Error('input credit beyond its window');
    this.#wake();
  }

  /** The program has ended, or the way to it: what is still to be sent goes nowhere. */
  close(): void {
    this.#closed = true;
    this.#wake();
  }

  /** Sends all of it, then the end of the input. Settles early when it is closed first. */
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
