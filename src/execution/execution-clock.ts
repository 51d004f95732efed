import { type Deadline, startDeadline } from '../lib/deadline.ts';

/** Longest time that one clock can stand still in all, in milliseconds: code may compute while it waits for an answer. */
const MOST_STANDING_MS = 3_600_000;

/**
 * Clock of the time limit of one execution. While it is paused it stands still, so that no time limit passes. Its times
 * are milliseconds, and only differences between them mean anything.
 */
export class ExecutionClock {
  readonly #mostStandingMs: number;
  readonly #onChange = new Set<() => void>();
  #pauses = 0;
  /** Begin of the current pause, by `performance.now()`. */
  #pausedAt: number | undefined;
  /** Length of the earlier pauses. */
  #stoodMs = 0;

  /** @param mostStandingMs time that it can stand still in all; then it goes on, whoever still waits */
  constructor(mostStandingMs: number = MOST_STANDING_MS) {
    this.#mostStandingMs = mostStandingMs;
  }

  /** Milliseconds for which it has stood still so far. */
  get stoodMs(): number {
    const current = this.#pausedAt === undefined ? 0 : performance.now() - this.#pausedAt;
    return Math.min(this.#mostStandingMs, this.#stoodMs + current);
  }

  now(): number {
    return performance.now() - this.stoodMs;
  }

  /** Stops the clock until disposed of. It goes on when no pause is left. */
  pause(): Disposable {
    this.#pauses += 1;
    if (this.#pauses === 1) {
      this.#pausedAt = performance.now();
      this.#tell();
    }
    let isOver = false;
    return {
      [Symbol.dispose]: () => {
        if (isOver) return;
        isOver = true;
        this.#pauses -= 1;
        if (this.#pauses > 0) return;
        this.#stoodMs = this.stoodMs;
        this.#pausedAt = undefined;
        this.#tell();
      },
    };
  }

  /** Starts a time limit that ends at a time of this clock. Disposing it stops the timer. */
  startDeadline(at: number, signal: AbortSignal): Deadline {
    const deadline = startDeadline(this.#untilReached(at), signal);
    const follow = () => deadline.postpone(this.#untilReached(at));
    this.#onChange.add(follow);
    return {
      ...deadline,
      [Symbol.dispose]: () => {
        this.#onChange.delete(follow);
        deadline[Symbol.dispose]();
      },
    };
  }

  /** Milliseconds until it shows a time, if a current pause lasts as long as it can. */
  #untilReached(at: number): number {
    const standing = this.#pausedAt === undefined ? 0 : this.#mostStandingMs - this.stoodMs;
    return at - this.now() + standing;
  }

  #tell(): void {
    for (const onChange of this.#onChange) onChange();
  }
}
