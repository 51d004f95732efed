import { capacityExceeded } from '../errors.ts';

const MINUTE_MS = 60_000;

/** Tolerance for rounding errors of the clock, in milliseconds. */
const TOLERANCE_MS = 1;

/**
 * Limits the requests of each owner to a number per minute. After a quiet minute, all of them may be sent at once.
 * Only owners with requests in the last minute are remembered.
 */
export class RequestRate {
  readonly #perMinute: number;
  readonly #now: () => number;
  /** Time at which each owner may again send all requests at once, in milliseconds; the least recent owner first. */
  readonly #fullAt = new Map<string, number>();

  constructor(perMinute: number, now: () => number = () => performance.now()) {
    this.#perMinute = perMinute;
    this.#now = now;
  }

  /** Number of owners that are remembered. */
  get size(): number {
    return this.#fullAt.size;
  }

  /** Counts a request. @throws GloveboxError `capacity_exceeded` with the seconds until the next one is allowed */
  take(owner: string): void {
    const now = this.#now();
    this.#forgetIdle(now);
    const fullAt = Math.max(now, this.#fullAt.get(owner) ?? 0) + MINUTE_MS / this.#perMinute;
    const earlyMs = fullAt - now - MINUTE_MS;
    if (earlyMs > TOLERANCE_MS) {
      const seconds = Math.ceil((earlyMs - TOLERANCE_MS) / 1000);
      throw capacityExceeded(`Each owner may send ${this.#perMinute} requests per minute.`, seconds);
    }
    this.#fullAt.delete(owner);
    this.#fullAt.set(owner, fullAt);
  }

  #forgetIdle(now: number): void {
    for (const [owner, fullAt] of this.#fullAt) {
      if (fullAt > now) return;
      this.#fullAt.delete(owner);
    }
  }
}
