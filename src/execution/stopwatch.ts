import { z } from 'zod';

export const timingsOutput = {
  duration_ms: z.number().describe('From its begin to its end, without what it waited before.'),
  queued_ms: z.number().optional().describe('Waited for its turn before that, if it had to.'),
};

/** Measures the two parts of a call: waiting for its turn, and running. */
export class Stopwatch {
  readonly #started = performance.now();
  #begun: number | undefined;

  /** Its turn has come. */
  begin(): void {
    this.#begun = performance.now();
  }

  read(): { duration_ms: number; queued_ms?: number } {
    const now = performance.now();
    const begun = this.#begun ?? now;
    const queued = Math.round(begun - this.#started);
    return { duration_ms: round(now - begun), ...(queued > 0 ? { queued_ms: queued } : {}) };
  }
}

export function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
