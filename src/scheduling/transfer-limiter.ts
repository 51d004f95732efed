import type { Transfer } from '../execution/request.ts';
import { Limiter } from './limiter.ts';
import type { EnterOptions } from './wait-for-turn.ts';

const LOOK_EVERY_MS = 100;

/**
 * Places for transfers of files of one session. A transfer that has stalled keeps its place only until another wants
 * one: a client that goes to sleep holds up nobody but itself.
 */
export class TransferLimiter {
  readonly #limit: number;
  readonly #stallMs: number;
  readonly #limiter: Limiter;
  readonly #underWay = new Set<Transfer>();
  /** Transfers that were ended and still have their places. */
  readonly #ending = new Set<Transfer>();
  #waiting = 0;

  /** @param stallMs how long a transfer that others wait for may bring no byte */
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
    const timer = setInterval(() => this.#makeRoom(), LOOK_EVERY_MS);
    try {
      return await this.#limiter.enter(options);
    } finally {
      clearInterval(timer);
      this.#waiting -= 1;
    }
  }

  /** Ends those that stall the longest, as many as others wait for. */
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
