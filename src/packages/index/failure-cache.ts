import { LruMap } from '../../lib/lru-map.ts';
import type { GatewayLimits } from '../upstream/limits.ts';
import type { Problem } from '../upstream/problem.ts';

/** Remembered failures; each is a few hundred bytes. */
const MOST = 1000;

/** What went wrong a moment ago and would again: installers ask several times. */
export class FailureCache {
  readonly #limits: GatewayLimits;
  readonly #known = new LruMap<{ problem: Problem; untilMs: number }>(MOST, () => 1);

  constructor(limits: GatewayLimits) {
    this.#limits = limits;
  }

  add(key: string, problem: Problem): void {
    const { negativeTtlMs, slowTtlMs } = this.#limits;
    const ttlMs = problem.lasting ? negativeTtlMs : slowTtlMs;
    if (!problem.lasting && problem.status !== 504) return;
    this.#known.set(key, { problem, untilMs: Date.now() + ttlMs });
  }

  /** @throws Problem that was noted for the key. */
  check(key: string): void {
    const known = this.#known.get(key);
    if (known && known.untilMs > Date.now()) throw known.problem;
  }
}
