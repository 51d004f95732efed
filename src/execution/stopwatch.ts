/** How long the two parts of a call took, to a microsecond and to a millisecond. */
export interface Timings {
  /** From its begin to its end, without what it waited before. */
  readonly durationMs: number;
  /** Waited for its turn before that, if it had to. */
  readonly queuedMs?: number | undefined;
}

/** Measures the two parts of a call: waiting for its turn, and running. */
export class Stopwatch {
  readonly #started = performance.now();
  #begun: number | undefined;

  /** Its turn has come. */
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

/** Milliseconds to a microsecond. */
export function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

/** Milliseconds as the seconds that they were made of: without the last digit, which multiplying may have changed. */
export function toSeconds(ms: number): number {
  return Number((ms / 1000).toPrecision(15));
}
