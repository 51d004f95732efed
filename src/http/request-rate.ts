import { capacityExceeded } from '../errors.ts';

const MINUTE_MS = 60_000;

/** Of a clock that is read twice. */
const TOLERANCE_MS = 1;

/**
 * Requests of each owner: as many per minute in the long run, and as many at once after a quiet minute.
 * Remembers only owners who have called within the last minute.
 */
export class RequestRate {
  readonly #perMinute: number;
  readonly #now: () => number;
  /** When each owner may send a whole minute's worth again, in ms; the least recently used first. */
  readonly #restedAt = new Map<string, number>();

  constructor(perMinute: number, now: () => number = () => performance.now()) {
    this.#perMinute = perMinute;
    this.#now = now;
  }

  /** Owners remembered. */
  get size(): number {
    return this.#restedAt.size;
  }

  /** Counts a request. @throws GloveboxError `capacity_exceeded` with when there is room for the next. */
  take(owner: string): void {
    const now = this.#now();
    this.#forgetRested(now);
    const restedAt = Math.max(now, this.#restedAt.get(owner) ?? 0) + MINUTE_MS / this.#perMinute;
    const earlyMs = restedAt - now - MINUTE_MS;
    if (earlyMs > TOLERANCE_MS) {
      const seconds = Math.ceil((earlyMs - TOLERANCE_MS) / 1000);
      throw capacityExceeded(`One owner may send ${this.#perMinute} requests per minute here.`, seconds);
    }
    this.#restedAt.delete(owner);
    this.#restedAt.set(owner, restedAt);
  }

  #forgetRested(now: number): void {
    for (const [owner, restedAt] of this.#restedAt) {
      if (restedAt > now) return;
      this.#restedAt.delete(owner);
    }
  }
}
