import { GloveboxError } from '../errors.ts';
import type { Log } from '../log.ts';
import { FairQueue } from '../scheduling/fair-queue.ts';
import type { MemoryQuota } from '../scheduling/memory-quota.ts';
import { PoolSize, type PoolSizeLimits } from './pool-size.ts';
import type { Sandbox, SandboxHandle } from './sandbox.ts';
import { type Backend, startSandbox } from './start-sandbox.ts';

const REFILL_DELAY_MS = 100;
const ASK_LIMIT_MS = 10_000;
/** The server itself, as one of those that wait for a start: no owner has this name. */
const NOBODY = '';

export interface PoolOptions {
  readonly size: PoolSizeLimits;
  /** Sandboxes that may be started at once; of one owner all but one. */
  readonly startsAtOnce: number;
  readonly memory: MemoryQuota;
  readonly log: Log;
}

/** Where sessions get their sandboxes from. */
export interface SandboxSource {
  /**
   * A sandbox that is the owner's from now on, and counted as such: a ready one, or one started when it is their turn.
   * @throws GloveboxError `capacity_exceeded` when their memory does not suffice
   */
  take(owner: string): Promise<SandboxHandle>;
  /** Starts no sandboxes that nobody waits for until it is disposed of. */
  holdRefill(): Disposable;
}

/** Keeps started sandboxes ready, so that a new session need not wait for one. */
export class Pool implements SandboxSource {
  readonly #backend: Backend;
  readonly #poolSize: PoolSize;
  readonly #memory: MemoryQuota;
  readonly #log: Log;
  readonly #starts: FairQueue;
  readonly #ready: Sandbox[] = [];
  /** What callers wait for, and should not have to share the processors with a start for the pool. */
  #urgent = 0;
  #refilling: Promise<void> | undefined;
  #refillTimer: NodeJS.Timeout | undefined;
  #trimTimer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(backend: Backend, { size, startsAtOnce, memory, log }: PoolOptions) {
    this.#backend = backend;
    this.#poolSize = new PoolSize(size);
    this.#memory = memory;
    this.#log = log;
    this.#starts = new FairQueue({
      places: startsAtOnce,
      placesPerOwner: Math.max(1, startsAtOnce - 1),
      // There are as many as sessions may be.
      waitingPerOwner: Number.POSITIVE_INFINITY,
    });
    memory.onRoom = () => this.#refillLater();
    this.#refill();
  }

  get status(): { size: number; ready: number } {
    return { size: this.#poolSize.wanted, ready: this.#ready.length };
  }

  async take(owner: string): Promise<Sandbox> {
    // What is being made for the pool may be all that there is room for.
    if (this.#ready.length === 0 && !this.#memory.fitsAnother()) await this.#refilling;
    const ready = this.#takeReady();
    this.#poolSize.add();
    try {
      this.#memory.claim(owner, ready ? 'pool' : 'new');
    } catch (error) {
      if (ready) this.#ready.push(ready);
      throw error;
    }
    if (ready) return ready;
    try {
      return await this.#start(owner);
    } catch (error) {
      this.#memory.release(owner);
      throw error;
    }
  }

  /**
   * Runs trusted code in a sandbox that nobody has had or will have; what it prints.
   * @throws GloveboxError `sandbox_lost` when it does not end well.
   */
  async ask(code: string): Promise<string> {
    const ready = this.#takeReady();
    const sandbox = ready ?? (await this.#start(NOBODY));
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
      if (ready) this.#memory.leavePool();
    }
  }

  holdRefill(): Disposable {
    this.#urgent += 1;
    return {
      [Symbol.dispose]: () => {
        this.#urgent -= 1;
        this.#refillLater();
      },
    };
  }

  /** Removes the sandboxes that nobody took. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#refillTimer);
    clearTimeout(this.#trimTimer);
    await this.#refilling;
    await Promise.all(this.#ready.splice(0).map((sandbox) => sandbox.remove().catch(() => {})));
  }

  #takeReady(): Sandbox | undefined {
    let sandbox = this.#ready.shift();
    for (; sandbox && !sandbox.connected; sandbox = this.#ready.shift()) {
      // Something has ended its runner, or the engine was restarted: whoever got it would be told of a loss.
      void sandbox.remove().catch(() => {});
      this.#memory.leavePool();
    }
    if (sandbox) this.#refillLater();
    return sandbox;
  }

  async #start(owner: string): Promise<Sandbox> {
    using _work = this.holdRefill();
    using _turn = await this.#starts.enter(owner);
    return await startSandbox(this.#backend);
  }

  /** Refills in a moment: the start of a container takes a processor from the first execution in the one just taken. */
  #refillLater(): void {
    clearTimeout(this.#refillTimer);
    this.#refillTimer = setTimeout(() => this.#refill(), REFILL_DELAY_MS);
    this.#refillTimer.unref();
  }

  /** Fills up one at a time, and only while nothing is urgent. */
  #refill(): void {
    this.#trim();
    this.#refilling ??= this.#fill().finally(() => {
      this.#refilling = undefined;
    });
  }

  /** Removes what is wanted no more, now and when that is next to be expected. */
  #trim(): void {
    for (const sandbox of this.#ready.splice(this.#poolSize.wanted)) {
      void sandbox.remove().catch(() => {});
      this.#memory.leavePool();
    }
    clearTimeout(this.#trimTimer);
    const { changesInMs } = this.#poolSize;
    if (changesInMs === undefined || this.#closed) return;
    this.#trimTimer = setTimeout(() => this.#refill(), changesInMs);
    this.#trimTimer.unref();
  }

  async #fill(): Promise<void> {
    while (
      !this.#closed &&
      this.#urgent === 0 &&
      this.#ready.length < this.#poolSize.wanted &&
      this.#memory.enterPool()
    ) {
      try {
        this.#ready.push(await startSandbox(this.#backend));
      } catch (error) {
        this.#memory.leavePool();
        // The next take starts its own and reports what is wrong to someone who can act on it.
        this.#log.warn('the pool could not start a sandbox', { error });
        return;
      }
    }
  }
}
