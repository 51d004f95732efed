import { startDeadline } from '../lib/deadline.ts';

/** Number of executions that have to begin for each start, so that a start waits for its turn. */
const CALLS_PER_START = 4;
/** Longest pause after a start, in milliseconds. */
const MAX_PAUSE_MS = 500;
/** Longest wait for a turn that a caller has, in milliseconds. */
const MAX_WAIT_MS = 1000;

/** What else happens on this server. */
export interface Load {
  /** Number of executions begun so far. */
  readonly begun: number;
  /** Number of executions that run now. */
  readonly running: number;
}

export interface StartPaceOptions {
  readonly load: () => Load;
  readonly processors: number;
}

/**
 * Leaves processors to running calls: while sessions call again and again, a start comes after a pause as long as the
 * start before it took. A start keeps processors busy, whoever waits for it.
 */
export class StartPace {
  readonly #options: StartPaceOptions;
  readonly #closing = new AbortController();
  /** Number of starts under way. */
  #starting = 0;
  /** How long the last start took, in milliseconds. */
  #tookMs = 0;
  /** Time of the next turn, of `performance.now()`. */
  #next = 0;
  /** Number of executions that had begun when the last start did. */
  #begun = 0;

  constructor(options: StartPaceOptions) {
    this.#options = options;
  }

  /** Starts something for a caller, in turn with others. */
  async start<T>(run: () => Promise<T>): Promise<T> {
    const now = performance.now();
    const turn = this.#isCrowded ? Math.max(now, Math.min(this.#next, now + MAX_WAIT_MS)) : now;
    // Whoever comes meanwhile gets the turn after this one.
    this.#next = turn + 2 * this.#tookMs;
    await this.#wait(turn - now);
    return await this.run(run);
  }

  /** Waits until a start for nobody in particular disturbs no calls. It reserves no turn. */
  async rest(): Promise<void> {
    if (this.#isCrowded) await this.#wait(this.#next - performance.now());
  }

  /** Starts something at once. */
  async run<T>(start: () => Promise<T>): Promise<T> {
    const began = performance.now();
    this.#begun = this.#options.load().begun;
    this.#starting += 1;
    try {
      return await start();
    } finally {
      this.#starting -= 1;
      const now = performance.now();
      this.#tookMs = Math.min(now - began, MAX_PAUSE_MS);
      this.#next = Math.max(this.#next, now + this.#tookMs);
    }
  }

  /** Ends all waits. */
  close(): void {
    this.#closing.abort();
  }

  get #isCrowded(): boolean {
    const { load, processors } = this.#options;
    const { begun, running } = load();
    return running + this.#starting + 1 >= processors && begun - this.#begun >= CALLS_PER_START;
  }

  async #wait(ms: number): Promise<void> {
    if (ms <= 0) return;
    using end = startDeadline(ms, this.#closing.signal);
    await end.reason;
  }
}
