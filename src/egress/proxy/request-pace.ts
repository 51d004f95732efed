/** Requests that one session may send at once, after it has sent none for a while. */
const BURST = 2000;
/** Requests that one session may send each second in the long run. */
const PER_SECOND = 500;

interface Bucket {
  /** Requests that may be sent now; below 0, some wait. */
  left: number;
  /** Time of `performance.now()` when that was so. */
  at: number;
}

/** Slows sessions down that send requests without end: all of them are served by one process. */
export class RequestPace {
  readonly #buckets = new Map<string, Bucket>();

  /** Number of sessions that are remembered. */
  get size(): number {
    return this.#buckets.size;
  }

  /** Counts a request of a session. Returns for how long it is to wait, in milliseconds. */
  take(session: string): number {
    const now = performance.now();
    this.#forgetFull(now);
    const bucket = this.#buckets.get(session) ?? { left: BURST, at: now };
    const left = refilled(bucket, now) - 1;
    // The session that asked last is the last one here.
    this.#buckets.delete(session);
    this.#buckets.set(session, { left, at: now });
    return left >= 0 ? 0 : (-left / PER_SECOND) * 1000;
  }

  #forgetFull(now: number): void {
    for (const [session, bucket] of this.#buckets) {
      if (refilled(bucket, now) < BURST) return;
      this.#buckets.delete(session);
    }
  }
}

function refilled({ left, at }: Bucket, now: number): number {
  return Math.min(BURST, left + ((now - at) / 1000) * PER_SECOND);
}
