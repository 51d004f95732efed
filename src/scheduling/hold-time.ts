/** Weight of the newest duration in the mean. */
const NEWEST = 0.25;
const MOST_RETRY_AFTER_S = 600;

/** How long places were held of late. */
export class MeanHoldTime {
  #meanMs: number | undefined;

  add(heldMs: number): void {
    this.#meanMs = this.#meanMs === undefined ? heldMs : this.#meanMs + NEWEST * (heldMs - this.#meanMs);
  }

  /** Seconds after which one of so many places is likely to be free; 1 before any was given back. */
  retryAfterS(running: number): number {
    const seconds = Math.ceil((this.#meanMs ?? 0) / 1000 / Math.max(1, running));
    return Math.min(MOST_RETRY_AFTER_S, Math.max(1, seconds));
  }
}
