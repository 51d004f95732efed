import { setTimeout as sleep } from 'node:timers/promises';
import { within } from '../lib/deadline.ts';
import type { RunnerNotice } from '../protocol/notice.ts';
import type { ModuleUsage, Use, Wanted } from './module-usage.ts';
import type { Sandbox } from './sandbox.ts';

/** Longest wait for a runner to load what it was asked for, in milliseconds. A little more than it takes itself. */
const LOAD_LIMIT_MS = 30_000;
/** Longest time that a sandbox waits for processors that calls use, in milliseconds. */
const PATIENCE_MS = 5000;
const LOOK_EVERY_MS = 100;
/** Most requests to one sandbox: what is expected may change while it waits. */
const MAX_REQUESTS = 4;
/** Least memory that is worth a request, in bytes. */
const LEAST_BYTES = 2 ** 20;

export interface PreloadFigures {
  /** Memory that sandboxes hold for modules that their sessions have not used yet, in bytes. */
  readonly bytes: number;
  /** Highest value of `bytes`, in bytes: the setting `preload_mb`. */
  readonly limit: number;
  /** Sandboxes that hold some of it. */
  readonly sandboxes: number;
  /** Modules that could not be loaded beforehand since the start. */
  readonly failures: number;
}

export interface PreloadOptions {
  readonly usage: ModuleUsage;
  readonly limitBytes: number;
  /** Whether executions use all processors. */
  readonly isBusy: () => boolean;
  /** Called after each change of what sessions used. */
  readonly onChange: () => void;
}

interface Asked {
  readonly wanted: Wanted;
  readonly requests: number;
  readonly bytes: number;
  /** Called with each notice of the runner. */
  readonly onNotice?: () => void;
}

/** Has sandboxes of the pool load what sessions used of late, within a limit of memory for all sandboxes together. */
export class Preloads {
  /** Called when the sandboxes of the pool should load something else. */
  onWanted: () => void = () => {};
  readonly #options: PreloadOptions;
  readonly #asked = new Map<Sandbox, Asked>();
  readonly #closing = Promise.withResolvers<void>();
  #failures = 0;

  constructor(options: PreloadOptions) {
    this.#options = options;
  }

  get figures(): PreloadFigures {
    const held = [...this.#held()];
    return {
      bytes: held.reduce((sum, bytes) => sum + bytes, 0),
      limit: this.#options.limitBytes,
      sandboxes: held.length,
      failures: this.#failures,
    };
  }

  /** Records that a session takes a sandbox, from the pool or a new one. */
  beginSession(): void {
    this.#options.usage.beginSession();
  }

  /** Records what an execution of a session used. */
  count(use: Use): void {
    if (use.modules.length === 0 && !use.context) return;
    this.#options.usage.count(use);
    this.#options.onChange();
    this.onWanted();
  }

  /** Handles a notice of a sandbox's runner. */
  hear(sandbox: Sandbox, { preload_failed: failed, preloaded }: RunnerNotice): void {
    const asked = this.#asked.get(sandbox);
    if (failed) {
      this.#failures += 1;
      // Only before its session begins: later, the session's own files may be the reason.
      if (asked?.onNotice) this.#options.usage.refuse(failed.module);
    }
    if (!preloaded || !asked) return;
    // Whatever else of its package is imported brings most of it.
    if (preloaded.over !== undefined) this.#options.usage.refuse(preloaded.over.split('.', 1).join());
    this.#asked.set(sandbox, { ...asked, bytes: preloaded.bytes });
    asked.onNotice?.();
  }

  /** Whether a sandbox of the pool lacks something that the next session is expected to use. */
  lacks(sandbox: Sandbox): boolean {
    const { usage, limitBytes } = this.#options;
    const asked = this.#asked.get(sandbox);
    if (asked && asked.requests >= MAX_REQUESTS) return false;
    if (limitBytes - this.figures.bytes < LEAST_BYTES) return false;
    const { wanted } = usage;
    if (asked?.wanted === wanted) return false;
    return (
      (wanted.context && !asked?.wanted.context) || [...wanted.modules].some((name) => !asked?.wanted.modules.has(name))
    );
  }

  /**
   * Has a sandbox load what the next session is expected to use. Resolves when that is done, or was given up.
   * @param isFree whether the sandbox belongs to no session yet
   */
  async load(sandbox: Sandbox, isFree: () => boolean): Promise<void> {
    await this.#quiet(isFree);
    if (!isFree()) return;
    const { wanted } = this.#options.usage;
    const { requests = 0, bytes = 0 } = this.#asked.get(sandbox) ?? {};
    const heard = Promise.withResolvers<void>();
    const asked = { wanted, requests: requests + 1, bytes };
    this.#asked.set(sandbox, { ...asked, onNotice: heard.resolve });
    const room = this.#options.limitBytes - this.figures.bytes + bytes;
    try {
      await sandbox.expect({ modules: [...wanted.modules], context: wanted.context, bytes: room });
      await within(LOAD_LIMIT_MS, Promise.race([heard.promise, this.#closing.promise]));
    } catch {
      // Whoever takes it next notices that it is lost.
    }
    const { bytes: held = 0 } = this.#asked.get(sandbox) ?? {};
    this.#asked.set(sandbox, { ...asked, bytes: held });
  }

  /** Ends all waiting. */
  close(): void {
    this.#closing.resolve();
  }

  *#held(): Iterable<number> {
    for (const [sandbox, { bytes }] of this.#asked) {
      if (sandbox.lost) this.#asked.delete(sandbox);
      else if (bytes > 0) yield bytes;
    }
  }

  /** Waits for a free processor, but not for ever, as a busy server would then load nothing. */
  async #quiet(isFree: () => boolean): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (this.#options.isBusy() && isFree() && performance.now() < deadline) {
      await Promise.race([sleep(LOOK_EVERY_MS, undefined, { ref: false }), this.#closing.promise]);
    }
  }
}
