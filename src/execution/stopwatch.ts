import type { ExecutionClock } from './execution-clock.ts';

/** Durations of the parts of a call. */
export interface Timings {
  /** Milliseconds from its begin to its end, without the wait before, to a microsecond. */
  readonly durationMs: number;
  /** Milliseconds that it waited for its turn, if it had to. */
  readonly queuedMs?: number | undefined;
  /** Milliseconds of its duration that it waited for a person or a client, while its time limit stood still. */
  readonly waitedMs?: number | undefined;
}

/** Measures the two parts of a call: waiting for its turn, and running. */
export class Stopwatch {
  readonly #clock: Pick<ExecutionClock, 'stoodMs'> | undefined;
  readonly #started = performance.now();
  #begun: number | undefined;

  /** @param clock clock of the call's time limit, if that can stand still */
  constructor(clock?: Pick<ExecutionClock, 'stoodMs'>) {
    this.#clock = clock;
  }

  /** Ends the wait: the turn has come. */
  begin(): void {
    this.#begun = performance.now();
  }

  read(): Timings {
    const now = performance.now();
    const begun = this.#begun ?? now;
    const queuedMs = Math.round(begun - this.#started);
    const waitedMs = Math.round(this.#clock?.stoodMs ?? 0);
    return {
      durationMs: round(now - begun),
      ...(queuedMs > 0 ? { queuedMs } : {}),
      ...(waitedMs > 0 ? { waitedMs } : {}),
    };
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
