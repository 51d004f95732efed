/** Lets a number of calls be under way at once; the others wait, in the order in which they came. */
export class ConcurrencyLimit {
  readonly #holdMs: number;
  readonly #waiting: (() => void)[] = [];
  #free: number;

  /**
   * @param most calls at once
   * @param holdMs longest time that a call keeps others waiting, in milliseconds: one that hangs must not stop them all
   */
  constructor(most: number, holdMs: number) {
    this.#free = most;
    this.#holdMs = holdMs;
  }

  async run<T>(call: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    let holds = true;
    const release = () => {
      if (!holds) return;
      holds = false;
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    };
    const timer = setTimeout(release, this.#holdMs);
    timer.unref();
    try {
      return await call();
    } finally {
      clearTimeout(timer);
      release();
    }
  }
}
