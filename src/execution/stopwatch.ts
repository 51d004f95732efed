/** Durations of the two parts of a call. */
export interface Timings {
  /** Milliseconds from its begin to its end, without the wait before, to a microsecond. */
  readonly durationMs: number;
  /** Milliseconds that it waited for its turn, if it had to. */
  readonly queuedMs?: number | undefined;
}

/** Measures the two parts of a call: waiting for its turn, and running. */
export class Stopwatch {
  readonly #started = performance.now();
  #begun: number | undefined;

  /** Ends the wait: the turn has come. */
  begin(): void {
    this.#begun = performance.now();
  }

  read(): Timings {
    const now = performance.now();
    const begun = this.#begun ?? now;
    const queuedMs = Math.round(begun - this.#started);
    return { durationMs: round(now - begun), ...(queuedMs > 0 ? { queuedMs } : {}) };
  }
}

/** Rounds milliseconds to a microsecond. */
export function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

/** Converts milliseconds to seconds. Rounds away the error that an earlier multiplication by 1000 may have caused. */
export function toSeconds(ms: number): number {
  return Number((ms / 1000).toPrecision(15));
}
