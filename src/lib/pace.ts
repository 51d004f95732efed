export interface PaceLimits {
  /** Number that one may send at once, after a quiet while. */
  readonly burst: number;
  /** Number that one may send each second in the long run. */
  readonly perSecond: number;
}

interface Bucket {
  /** Number that may be sent now; below 0, some wait. */
  left: number;
  /** Time of `performance.now()` when that was so. */
  at: number;
}

/** Slows down who sends without end: all are served by one process. */
export class Pace {
  readonly #limits: PaceLimits;
  readonly #buckets = new Map<string, Bucket>();

  constructor(limits: PaceLimits) {
    this.#limits = limits;
  }

  /** Number of those that are remembered. */
  get size(): number {
    return this.#buckets.size;
  }

  /** Counts one that `who` has sent. Returns for how long it is to wait, in milliseconds. */
  take(who: string): number {
    const now = performance.now();
    this.#forgetFull(now);
    const bucket = this.#buckets.get(who) ?? { left: this.#limits.burst, at: now };
    const left = this.#refilled(bucket, now) - 1;
    // Who has sent last is the last one here.
    this.#buckets.delete(who);
    this.#buckets.set(who, { left, at: now });
    return left >= 0 ? 0 : (-left / this.#limits.perSecond) * 1000;
  }

  #forgetFull(now: number): void {
    for (const [who, bucket] of this.#buckets) {
      if (this.#refilled(bucket, now) < this.#limits.burst) return;
      this.#buckets.delete(who);
    }
  }

  #refilled({ left, at }: Bucket, now: number): number {
    const { burst, perSecond } = this.#limits;
    return Math.min(burst, left + ((now - at) / 1000) * perSecond);
  }
}
