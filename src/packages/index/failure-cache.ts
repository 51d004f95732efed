import { LRUCache } from 'lru-cache';
import type { GatewayLimits } from '../upstream/limits.ts';
import type { Problem } from '../upstream/problem.ts';

/** Failures to remember at most; each takes a few hundred bytes. */
const MOST_FAILURES = 1000;

/** Recent failures that would occur again. Installers repeat their requests several times. */
export class FailureCache {
  readonly #limits: GatewayLimits;
  readonly #known = new LRUCache<string, Problem>({ max: MOST_FAILURES });

  constructor(limits: GatewayLimits) {
    this.#limits = limits;
  }

  add(key: string, problem: Problem): void {
    const { negativeTtlMs, slowTtlMs } = this.#limits;
    const ttlMs = problem.lasting ? negativeTtlMs : slowTtlMs;
    if (!problem.lasting && problem.status !== 504) return;
    // The cache would keep an entry with a lifetime of 0 for ever.
    if (ttlMs > 0) this.#known.set(key, problem, { ttl: ttlMs });
  }

  /** @throws Problem that was recorded for the key */
  check(key: string): void {
    const problem = this.#known.get(key);
    if (problem) throw problem;
  }
}
