import { GloveboxError } from '../errors.ts';

/** Lets so many through at once and so many more wait, in order. */
export class Limiter {
  readonly #limit: number;
  readonly #queueLimit: number;
  readonly #place: string;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  /** @param place what the places are of, for people */
  constructor(limit: number, queueLimit: number, place = 'this session') {
    this.#limit = limit;
    this.#queueLimit = queueLimit;
    this.#place = place;
  }

  get running(): number {
    return this.#running;
  }

  /**
   * Waits for a place; dispose of it to give it back.
   * @throws GloveboxError `session_busy` when too many wait already; the signal's reason when it aborts first.
   */
  async enter(signal: AbortSignal): Promise<Disposable> {
    if (this.#running < this.#limit) this.#running += 1;
    else await this.#wait(signal);
    return {
      [Symbol.dispose]: () => {
        const next = this.#waiting.shift();
        if (next) next();
        else this.#running -= 1;
      },
    };
  }

  #wait(signal: AbortSignal): Promise<void> {
    if (this.#waiting.length >= this.#queueLimit) {
      throw new GloveboxError(
        'session_busy',
        `Too many executions at once in ${this.#place}: ${this.#limit} running and ${this.#queueLimit} waiting.`,
      );
    }
    return new Promise((resolve, reject) => {
      const admit = () => {
        signal.removeEventListener('abort', leave);
        resolve();
      };
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(admit), 1);
        reject(signal.reason);
      };
      signal.throwIfAborted();
      signal.addEventListener('abort', leave, { once: true });
      this.#waiting.push(admit);
    });
  }
}
