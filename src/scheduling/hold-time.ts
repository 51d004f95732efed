/** Weight of the newest duration in the mean. */
const NEWEST = 0.25;
/** Longest time that a caller is told to wait, in seconds. */
const MOST_RETRY_AFTER_S = 600;

/** Mean time for which places were held recently. */
export class MeanHoldTime {
  #meanMs: number | undefined;

  add(heldMs: number): void {
    this.#meanMs = this.#meanMs === undefined ? heldMs : this.#meanMs + NEWEST * (heldMs - this.#meanMs);
  }

  /**
   * Estimates the seconds until one place is free; 1 before any was given back.
   * @param running number of places that are taken
   */
  retryAfterS(running: number): number {
    const seconds = Math.ceil((this.#meanMs ?? 0) / 1000 / Math.max(1, running));
    return Math.min(MOST_RETRY_AFTER_S, Math.max(1, seconds));
  }
}
