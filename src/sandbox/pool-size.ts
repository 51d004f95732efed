/** What was taken within so long counts together: in that time a small machine starts many more. */
const BURST_MS = 10_000;
/** Milliseconds that a burst is remembered. */
const REMEMBERED_MS = 300_000;

export interface PoolSizeLimits {
  /** What is wanted when there was no demand. */
  readonly least: number;
  readonly most: number;
}

/** How many sandboxes to have ready, by how many were taken at about the same time of late. */
export class PoolSize {
  readonly #limits: PoolSizeLimits;
  readonly #now: () => number;
  /** When the latest were taken, the oldest first. */
  #taken: number[] = [];
  #peak = { count: 0, at: Number.NEGATIVE_INFINITY };

  /** @param now tells milliseconds, which never go back */
  constructor(limits: PoolSizeLimits, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#now = now;
  }

  /** Takes note of one that was taken. */
  add(): void {
    if (this.#limits.most <= this.#limits.least) return;
    const now = this.#now();
    this.#taken = [...this.#taken, now].filter((at) => now - at < BURST_MS).slice(-this.#limits.most);
    const count = this.#taken.length;
    if (count >= this.#peak.count || this.#isOver(now)) this.#peak = { count, at: now };
  }

  get wanted(): number {
    const { least, most } = this.#limits;
    const count = this.#isOver(this.#now()) ? 0 : this.#peak.count;
    return Math.max(least, Math.min(most, count));
  }

  /** Milliseconds until fewer may be wanted, if nothing happens; undefined when no more are than always. */
  get changesInMs(): number | undefined {
    return this.wanted > this.#limits.least ? this.#peak.at + REMEMBERED_MS - this.#now() : undefined;
  }

  #isOver(now: number): boolean {
    return now - this.#peak.at >= REMEMBERED_MS;
  }
}
