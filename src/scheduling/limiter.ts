import { capacityExceeded, GloveboxError } from '../errors.ts';
import { MeanHoldTime } from './hold-time.ts';
import { type EnterOptions, waitForTurn } from './wait-for-turn.ts';

/** Limits how many calls run at once, and how many more may wait in order. */
export class Limiter {
  readonly #limit: number;
  readonly #queueLimit: number;
  readonly #place: string;
  readonly #waiting = new Set<() => void>();
  readonly #holdTime = new MeanHoldTime();
  #running = 0;

  /** @param place what the limit applies to, for error messages */
  constructor(limit: number, queueLimit: number, place = 'this session') {
    this.#limit = limit;
    this.#queueLimit = queueLimit;
    this.#place = place;
  }

  get running(): number {
    return this.#running;
  }

  /**
   * Waits for a place. Dispose of the result to give it back.
   * @throws GloveboxError `session_busy` when too many wait already, `capacity_exceeded` when the wait takes too long;
   *   the signal's reason when it aborts
   */
  async enter(options: EnterOptions = {}): Promise<Disposable> {
    if (this.#running < this.#limit) this.#running += 1;
    else await this.#wait(options);
    const since = performance.now();
    return {
      [Symbol.dispose]: () => {
        this.#holdTime.add(performance.now() - since);
        const [next] = this.#waiting;
        if (!next) {
          this.#running -= 1;
          return;
        }
        this.#waiting.delete(next);
        next();
      },
    };
  }

  async #wait(options: EnterOptions): Promise<void> {
    if (this.#waiting.size >= this.#queueLimit) {
      throw new GloveboxError(
        'session_busy',
        `Too many executions at once in ${this.#place}: ${this.#limit} running and ${this.#queueLimit} waiting.`,
      );
    }
    await waitForTurn(this.#waiting, options, () =>
      capacityExceeded(
        `No more than ${this.#limit} may run at once in ${this.#place}, and none ended in time.`,
        this.#holdTime.retryAfterS(this.#running),
      ),
    );
  }
}
