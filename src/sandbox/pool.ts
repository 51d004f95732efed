import { GloveboxError } from '../errors.ts';
import type { Log } from '../log.ts';
import { type Backend, startSandbox } from './factory.ts';
import type { Sandbox } from './sandbox.ts';

const REFILL_DELAY_MS = 100;
const ASK_LIMIT_MS = 10_000;

/** Keeps started sandboxes ready, so that a new session need not wait for one. */
export class Pool {
  readonly #backend: Backend;
  readonly #size: number;
  readonly #log: Log;
  readonly #ready: Sandbox[] = [];
  #starting = 0;
  #refilling: Promise<void> | undefined;
  #refillTimer: NodeJS.Timeout | undefined;
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
      if (!sandbox.connected) {
        // Something has ended its runner, or the engine was restarted: whoever got it would be told of a loss.
        void sandbox.remove().catch(() => {});
        continue;
      }
      this.#refillLater();
      return sandbox;
    }
    this.#starting += 1;
    try {
      return await startSandbox(this.#backend);
    } finally {
      this.#starting -= 1;
      this.#refillLater();
    }
  }

  /**
   * Runs trusted code in a sandbox that nobody has had or will have; what it prints.
   * @throws GloveboxError `sandbox_lost` when it does not end well.
   */
  async ask(code: string): Promise<string> {
    const sandbox = await this.take();
    const output: Buffer[] = [];
    try {
      const end = await sandbox.execute(
        { code },
        {
          timeoutMs: ASK_LIMIT_MS,
          signal: new AbortController().signal,
          onOutput: (_, chunk) => void output.push(Buffer.from(chunk)),
        },
      );
      if (end.status === 'ok') return Buffer.concat(output).toString();
      throw new GloveboxError('sandbox_lost', `Code in a new sandbox ended with status ${end.status}.`);
    } finally {
      await sandbox.remove();
    }
  }

  /** Removes the sandboxes that nobody took. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#refillTimer);
    await this.#refilling;
    await Promise.all(this.#ready.splice(0).map((sandbox) => sandbox.remove().catch(() => {})));
  }

  /** Not at once: the start of a container takes a processor from the first execution in the one just taken. */
  #refillLater(): void {
    clearTimeout(this.#refillTimer);
    this.#refillTimer = setTimeout(() => this.#refill(), REFILL_DELAY_MS);
    this.#refillTimer.unref();
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
