import type { Transfer } from '../execution/request.ts';
import { Limiter } from './limiter.ts';
import type { EnterOptions } from './wait-for-turn.ts';

/** Interval of the checks for stalled transfers, in milliseconds. */
const CHECK_EVERY_MS = 100;

/**
 * Limits the file transfers of one session. A stalled transfer keeps its place only until another needs one. So a client
 * that stops reading delays nobody but itself.
 */
export class TransferLimiter {
  readonly #limit: number;
  readonly #stallMs: number;
  readonly #limiter: Limiter;
  readonly #underWay = new Set<Transfer>();
  /** Transfers that were ended and still have their places. */
  readonly #ending = new Set<Transfer>();
  #waiting = 0;

  /** @param stallMs milliseconds without a byte after which a transfer that others wait for is ended */
  constructor(limit: number, queueLimit: number, stallMs = 2000) {
    this.#limit = limit;
    this.#stallMs = stallMs;
    this.#limiter = new Limiter(limit, queueLimit);
  }

  /** Waits for a place, as `Limiter.enter` does. */
  async enter(transfer: Transfer, options: EnterOptions): Promise<Disposable> {
    const place = await this.#wait(options);
    this.#underWay.add(transfer);
    return {
      [Symbol.dispose]: () => {
        this.#underWay.delete(transfer);
        this.#ending.delete(transfer);
        place[Symbol.dispose]();
      },
    };
  }

  async #wait(options: EnterOptions): Promise<Disposable> {
    if (this.#limiter.running < this.#limit) return await this.#limiter.enter(options);
    this.#waiting += 1;
    const timer = setInterval(() => this.#makeRoom(), CHECK_EVERY_MS);
    try {
      return await this.#limiter.enter(options);
    } finally {
      clearInterval(timer);
      this.#waiting -= 1;
    }
  }

  /** Ends the transfers that have stalled the longest, one for each waiting call. */
  #makeRoom(): void {
    const stalledBefore = performance.now() - this.#stallMs;
    const stalled = [...this.#underWay]
      .filter((transfer) => !this.#ending.has(transfer) && (transfer.idleSince ?? stalledBefore) < stalledBefore)
      .sort((one, other) => (one.idleSince ?? 0) - (other.idleSince ?? 0));
    for (const transfer of stalled.slice(0, Math.max(0, this.#waiting - this.#ending.size))) {
      this.#ending.add(transfer);
      transfer.end();
    }
  }
}
