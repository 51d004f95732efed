import { LRUCache } from 'lru-cache';
import type { GatewayLimits } from '../upstream/limits.ts';
import type { Problem } from '../upstream/problem.ts';

/** Remembered failures; each is a few hundred bytes. */
const MOST = 1000;

/** What went wrong a moment ago and would again: installers ask several times. */
export class FailureCache {
  readonly #limits: GatewayLimits;
  readonly #known = new LRUCache<string, Problem>({ max: MOST });

  constructor(limits: GatewayLimits) {
    this.#limits = limits;
  }

  add(key: string, problem: Problem): void {
    const { negativeTtlMs, slowTtlMs } = this.#limits;
    const ttlMs = problem.lasting ? negativeTtlMs : slowTtlMs;
    if (!problem.lasting && problem.status !== 504) return;
    // To the cache, no time means forever.
    if (ttlMs > 0) this.#known.set(key, problem, { ttl: ttlMs });
  }

  /** @throws Problem that was noted for the key. */
  check(key: string): void {
    const problem = this.#known.get(key);
    if (problem) throw problem;
  }
}
