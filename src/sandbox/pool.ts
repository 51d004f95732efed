import { GloveboxError } from '../errors.ts';
import type { Log } from '../log.ts';
import { FairQueue } from '../scheduling/fair-queue.ts';
import type { MemoryQuota } from '../scheduling/memory-quota.ts';
import type { StartMetrics } from '../scheduling/start-metrics.ts';
import { trace } from '../telemetry/trace.ts';
import type { OpenedSandbox, SandboxInfo } from './engine.ts';
import { PoolSize, type PoolSizeLimits } from './pool-size.ts';
import type { Preloads } from './preloads.ts';
import type { Sandbox, SandboxHandle } from './sandbox.ts';
import type { StartPace } from './start-pace.ts';
import {
  adoptUnused,
  type Backend,
  isOwn,
  openOwn,
  openSandbox,
  retire,
  type StartOptions,
  startSandbox,
} from './start-sandbox.ts';

const REFILL_DELAY_MS = 100;
const ASK_LIMIT_MS = 10_000;
/** Name under which the server itself waits for a start. No owner has this name. */
const NOBODY = '';

export interface PoolOptions {
  readonly size: PoolSizeLimits;
  /** Number of sandboxes that may be started at once. One owner may have all but one of these starts. */
  readonly startsAtOnce: number;
  readonly memory: MemoryQuota;
  /** Spreads starts, to leave processors to running calls. */
  readonly pace: StartPace;
  /** The pool starts no sandboxes before it resolves. */
  readonly notBefore?: Promise<void>;
  readonly log: Log;
  readonly metrics: StartMetrics;
  /** Has ready sandboxes load what sessions used of late. */
  readonly preloads?: Preloads | undefined;
}

/** Source of the sandboxes of sessions. */
export interface SandboxSource {
  /**
   * Takes a ready sandbox for an owner, or starts one when it is the owner's turn. Its memory counts against the owner.
   * @throws GloveboxError `capacity_exceeded` when the owner's memory does not suffice
   */
  take(owner: string): Promise<SandboxHandle>;
  /** Pauses starts for the pool until disposed of. Sandboxes that a call waits for still start. */
  holdRefill(): Disposable;
  /** Returns a sandbox that another control plane started, without reaching it. */
  reopen(info: Pick<SandboxInfo, 'key' | 'ref'>): SandboxHandle;
}

/** Keeps started sandboxes ready, so that a new session does not have to wait for one. */
export class Pool implements SandboxSource {
  readonly #backend: Backend;
  readonly #poolSize: PoolSize;
  readonly #memory: MemoryQuota;
  readonly #log: Log;
  readonly #preloads: Preloads | undefined;
  readonly #starts: FairQueue;
  readonly #pace: StartPace;
  readonly #metrics: StartMetrics;
  readonly #ready: Sandbox[] = [];
  readonly #closing = new AbortController();
  /** Number of operations that callers wait for. Meanwhile the pool starts no sandboxes, to leave processors to them. */
  #urgent = 0;
  #refilling: Promise<void> | undefined;
  #loading: Promise<void> | undefined;
  /** Sandbox that is loading something. */
  #loads: Sandbox | undefined;
  #refillTimer: NodeJS.Timeout | undefined;
  #trimTimer: NodeJS.Timeout | undefined;

  constructor(backend: Backend, options: PoolOptions) {
    const { size, startsAtOnce, pace, memory, notBefore, log, metrics, preloads } = options;
    this.#backend = backend;
    this.#poolSize = new PoolSize(size);
    this.#memory = memory;
    this.#log = log;
    this.#preloads = preloads;
    this.#pace = pace;
    this.#metrics = metrics;
    this.#starts = new FairQueue({
      places: startsAtOnce,
      placesPerOwner: Math.max(1, startsAtOnce - 1),
      // The number of sessions is limited already.
      waitingPerOwner: Number.POSITIVE_INFINITY,
    });
    memory.onRoom = () => this.#refillLater();
    if (preloads) preloads.onWanted = () => this.#refillLater();
    if (notBefore !== undefined) {
      const held = this.holdRefill();
      void notBefore.then(() => held[Symbol.dispose]());
    } else this.#refill();
  }

  /** `ready` leaves out sandboxes that still load what sessions used of late. They can be taken all the same. */
  get status(): { size: number; ready: number } {
    return { size: this.#poolSize.wanted, ready: this.#ready.filter((sandbox) => !this.#lacks(sandbox)).length };
  }

  async take(owner: string): Promise<Sandbox> {
    // The sandbox being started for the pool may be the last one that fits into memory.
    if (this.#ready.length === 0 && !this.#memory.fitsAnother()) await this.#refilling;
    const ready = this.#takeReady();
    this.#poolSize.add();
    this.#preloads?.beginSession();
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
   * Runs trusted code in an unused sandbox, removes the sandbox, and returns what the code printed.
   * @throws GloveboxError `sandbox_lost` when the code fails
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
      await retire(this.#backend, sandbox);
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

  reopen(info: Pick<SandboxInfo, 'key' | 'ref'>): Sandbox {
    return openSandbox(this.#backend, { key: info.key, ref: info.ref });
  }

  /**
   * Takes over a sandbox that a dead control plane had ready, if there is room for it. It counts like a burst: the sessions
   * that it was meant for now come here.
   * @param claim makes the sandbox this control plane's, and returns it; undefined if it is not to be had
   * @throws GloveboxError if it cannot be reached, or is not as it should be: then it is removed
   */
  async adopt(claim: () => Promise<OpenedSandbox | undefined>): Promise<boolean> {
    if (this.#closed || this.#ready.length >= this.#poolSize.most || !this.#memory.enterPool()) return false;
    let sandbox: Sandbox | undefined;
    try {
      const claimed = await claim();
      sandbox = claimed && openOwn(this.#backend, claimed);
      if (sandbox) await adoptUnused(sandbox);
    } catch (error) {
      this.#memory.leavePool();
      if (sandbox) await retire(this.#backend, sandbox).catch(() => {});
      throw error;
    }
    if (sandbox && !this.#closed && isOwn(this.#backend, sandbox)) {
      this.#ready.push(sandbox);
      this.#poolSize.expect(this.#ready.length);
      this.#refill();
      return true;
    }
    this.#memory.leavePool();
    if (sandbox) await retire(this.#backend, sandbox).catch(() => {});
    return false;
  }

  /** Gives up the ready sandboxes that others may take over. They stay as they are. */
  leave(): void {
    for (const sandbox of this.#ready.splice(0)) this.#letGo(sandbox);
    this.#refillLater();
  }

  /** Removes all ready sandboxes. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#pace.close();
    clearTimeout(this.#refillTimer);
    clearTimeout(this.#trimTimer);
    this.#preloads?.close();
    // The start under way may take a while: the others need not wait for its end.
    await Promise.all([this.#removeReady(), this.#refilling]);
    await this.#removeReady();
  }

  async #removeReady(): Promise<void> {
    await Promise.all(this.#ready.splice(0).map((sandbox) => retire(this.#backend, sandbox).catch(() => {})));
  }

  get #closed(): boolean {
    return this.#closing.signal.aborted;
  }

  #takeReady(): Sandbox | undefined {
    let sandbox = this.#ready.shift();
    for (; sandbox && !(sandbox.connected && isOwn(this.#backend, sandbox)); sandbox = this.#ready.shift()) {
      // Its runner was ended, or the engine was restarted. A session that got it would have to report a loss.
      this.#letGo(sandbox);
    }
    if (sandbox) this.#refillLater();
    return sandbox;
  }

  async #start(owner: string): Promise<Sandbox> {
    using _work = this.holdRefill();
    return await trace('glovebox.sandbox.start', async () => {
      using _turn = await this.#starts.enter(owner);
      return await this.#pace.start(() => this.#startOne());
    });
  }

  #startOne(options?: StartOptions): Promise<Sandbox> {
    return this.#metrics.follow(() => startSandbox(this.#backend, options));
  }

  /** Gives a sandbox up that is not in the pool any more. */
  #letGo(sandbox: Sandbox): void {
    void retire(this.#backend, sandbox).catch(() => {});
    this.#memory.leavePool();
  }

  /** Refills after a moment, so that the start of a container does not slow the first execution in the one just taken. */
  #refillLater(): void {
    clearTimeout(this.#refillTimer);
    this.#refillTimer = setTimeout(() => this.#refill(), REFILL_DELAY_MS);
    this.#refillTimer.unref();
  }

  /** Refills the pool, one sandbox at a time, and only while nothing is urgent. */
  #refill(): void {
    this.#trim();
    this.#refilling ??= this.#fill().finally(() => {
      this.#refilling = undefined;
      this.#loading ??= this.#load().finally(() => {
        this.#loading = undefined;
      });
    });
  }

  /** Removes surplus sandboxes now, and again when the wanted size may next fall. */
  #trim(): void {
    for (const sandbox of this.#ready.splice(this.#poolSize.wanted)) this.#letGo(sandbox);
    clearTimeout(this.#trimTimer);
    const { changesInMs } = this.#poolSize;
    if (changesInMs === undefined || this.#closed) return;
    this.#trimTimer = setTimeout(() => this.#refill(), changesInMs);
    this.#trimTimer.unref();
  }

  #lacks(sandbox: Sandbox): boolean {
    return sandbox === this.#loads || this.#preloads?.lacks(sandbox) === true;
  }

  /** Has the ready sandboxes load what sessions used of late, one sandbox at a time. */
  async #load(): Promise<void> {
    const preloads = this.#preloads;
    while (preloads && !this.#closed) {
      const next = this.#ready.find((sandbox) => preloads.lacks(sandbox));
      if (!next || this.#urgent > 0) return;
      this.#loads = next;
      await preloads.load(next, () => !this.#closed && this.#ready.includes(next));
      this.#loads = undefined;
    }
  }

  get #isShort(): boolean {
    return !this.#closed && this.#urgent === 0 && this.#ready.length < this.#poolSize.wanted;
  }

  #startForPool(): Promise<Sandbox> {
    return this.#pace.run(() => this.#startOne({ signal: this.#closing.signal, isPooled: true }));
  }

  async #fill(): Promise<void> {
    while (this.#isShort) {
      await this.#pace.rest();
      if (!this.#isShort || !this.#memory.enterPool()) return;
      try {
        this.#ready.push(await trace('glovebox.pool.fill', () => this.#startForPool(), { isRoot: true }));
      } catch (error) {
        this.#memory.leavePool();
        if (this.#closed) return;
        // The next call starts its own sandbox and reports the error to its caller, who can act on it.
        this.#log.warn('the pool could not start a sandbox', { error });
        return;
      }
    }
  }
}
