/** A moment by two clocks, in milliseconds. */
export interface Moment {
  /** Stands still while the machine sleeps, and never jumps. */
  readonly monotonic: number;
  /** Goes on while the machine sleeps, and may be set. */
  readonly wall: number;
}

export function now(): Moment {
  return { monotonic: performance.now(), wall: Date.now() };
}

/**
 * How long a lease still holds, by the clocks of its own holder. It is over once either clock says so: after a sleep only the
 * wall clock knows. Once over, it stays so.
 */
export class Validity {
  readonly #lengthMs: number;
  readonly #clock: () => Moment;
  #since: Moment;
  #isOver = false;

  /** @param since before the lease was made */
  constructor(lengthMs: number, since: Moment, clock: () => Moment = now) {
    this.#lengthMs = lengthMs;
    this.#since = since;
    this.#clock = clock;
  }

  get isOver(): boolean {
    if (!this.#isOver && this.leftMs <= 0) this.#isOver = true;
    return this.#isOver;
  }

  get leftMs(): number {
    const { monotonic, wall } = this.#clock();
    return this.#lengthMs - Math.max(monotonic - this.#since.monotonic, wall - this.#since.wall);
  }

  /** Begins anew, unless it is over. @param since before the renewal was sent: others may count from then */
  extend(since: Moment): void {
    if (!this.isOver) this.#since = since;
  }

  /** Ends it. */
  end(): void {
    this.#isOver = true;
  }
}
