import type { Log } from '../log.ts';
import { type Backend, startSandbox } from './factory.ts';
import type { Sandbox } from './sandbox.ts';

/** Keeps started sandboxes ready, so that a new session need not wait for one. */
export class Pool {
  readonly #backend: Backend;
  readonly #size: number;
  readonly #log: Log;
  readonly #ready: Sandbox[] = [];
  #starting = 0;
  #refilling: Promise<void> | undefined;
  #closed = false;

  constructor(backend: Backend, size: number, log: Log) {
    this.#backend = backend;
    this.#size = size;
    this.#log = log;
    this.#refill();
  }

  get status(): { size: number; ready: number } {
    return { size: this.#size, ready: this.#ready.length };
  }

  /** A sandbox that is the caller's from now on: a ready one, or one started now. */
  async take(): Promise<Sandbox> {
    for (let sandbox = this.#ready.shift(); sandbox; sandbox = this.#ready.shift()) {
      if (sandbox.lost) continue;
      this.#refill();
      return sandbox;
    }
    this.#starting += 1;
    try {
      return await startSandbox(this.#backend);
    } finally {
      this.#starting -= 1;
      this.#refill();
    }
  }

  /** Removes the sandboxes that nobody took. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#refilling;
    await Promise.all(this.#ready.splice(0).map((sandbox) => sandbox.remove().catch(() => {})));
  }

  /** Fills up one at a time, and only while no caller waits for a start. */
  #refill(): void {
    this.#refilling ??= this.#fill().finally(() => {
      this.#refilling = undefined;
    });
  }

  async #fill(): Promise<void> {
    while (!this.#closed && this.#starting === 0 && this.#ready.length < this.#size) {
      try {
        this.#ready.push(await startSandbox(this.#backend));
      } catch (error) {
        // The next take starts its own and reports what is wrong to someone who can act on it.
        this.#log.warn('the pool could not start a sandbox', { error });
        return;
      }
    }
  }
}
