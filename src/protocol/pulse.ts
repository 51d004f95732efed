import { randomBytes } from 'node:crypto';
import type { Heartbeat } from '../lib/reused-memory.ts';

/** Times without any bytes, the one before the question included, until a connection counts as silent. */
const SILENT_AFTER = 3;
const PING_BYTES = 8;

/** Asks a runner that is quiet for a sign of life. What else comes from it is one too. */
export class Pulse implements Disposable {
  readonly #heartbeat: Heartbeat;
  readonly #send: (ping: Buffer) => void;
  readonly #timer: NodeJS.Timeout;
  /** Times in a row in which nothing came. */
  #quiet = 0;
  #heardAt = performance.now();
  /** The ping that is not answered yet. There is one at most: the connection loses none while it lasts. */
  #pending: Buffer | undefined;

  constructor(heartbeat: Heartbeat, send: (ping: Buffer) => void) {
    this.#heartbeat = heartbeat;
    this.#send = send;
    this.#timer = setInterval(() => this.#tick(), heartbeat.everyMs).unref();
  }

  /** Notes that bytes have come. */
  hear(): void {
    this.#quiet = 0;
    this.#heardAt = performance.now();
  }

  /** When bytes last came, in milliseconds of the performance clock. */
  get heardAt(): number {
    return this.#heardAt;
  }

  /** Takes the answer to a ping. @throws Error when it is not one */
  answer(pong: Buffer): void {
    if (!this.#pending?.equals(pong)) throw new Error('a pong without its ping');
    this.#pending = undefined;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    this.#quiet += 1;
    if (this.#quiet > 1 && !this.#pending) {
      this.#pending = randomBytes(PING_BYTES);
      this.#send(this.#pending);
    }
    if (this.#quiet > SILENT_AFTER) this.#heartbeat.onSilent();
  }
}
