/** Time within which taken sandboxes count as one burst, in milliseconds. A small machine can start many in that time. */
const BURST_MS = 10_000;
/** Time for which a burst is remembered, in milliseconds. */
const REMEMBERED_MS = 300_000;

export interface PoolSizeLimits {
  /** Pool size without recent demand. */
  readonly least: number;
  readonly most: number;
}

/** Computes how many sandboxes to keep ready, from the largest recent burst. */
export class PoolSize {
  readonly #limits: PoolSizeLimits;
  readonly #now: () => number;
  /** Times at which sandboxes were taken recently, the oldest first. */
  #taken: number[] = [];
  #peak = { count: 0, at: Number.NEGATIVE_INFINITY };

  /** @param now returns the time of a monotonic clock, in milliseconds */
  constructor(limits: PoolSizeLimits, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#now = now;
  }

  /** Records that a sandbox was taken. */
  add(): void {
    if (this.#limits.most <= this.#limits.least) return;
    const now = this.#now();
    this.#taken = [...this.#taken, now].filter((at) => now - at < BURST_MS).slice(-this.#limits.most);
    this.expect(this.#taken.length);
  }

  /** Largest number that it is ever. */
  get most(): number {
    return Math.max(this.#limits.least, this.#limits.most);
  }

  /** Records that as many may be needed soon. */
  expect(count: number): void {
    const now = this.#now();
    if (count >= this.#peak.count || this.#isOver(now)) this.#peak = { count, at: now };
  }

  get wanted(): number {
    const { least, most } = this.#limits;
    const count = this.#isOver(this.#now()) ? 0 : this.#peak.count;
    return Math.max(least, Math.min(most, count));
  }

  /** Milliseconds until the wanted size may fall without new demand. Undefined if it is the smallest already. */
  get changesInMs(): number | undefined {
    return this.wanted > this.#limits.least ? this.#peak.at + REMEMBERED_MS - this.#now() : undefined;
  }

  #isOver(now: number): boolean {
    return now - this.#peak.at >= REMEMBERED_MS;
  }
}
