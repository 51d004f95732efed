import { Pool, type PoolOptions } from './pool.ts';
import { StartPace, type StartPaceOptions } from './start-pace.ts';
import type { Backend } from './start-sandbox.ts';

/** Number of sandboxes to start at once, per processor. With more, each start only takes longer. */
const STARTS_PER_PROCESSOR = 2;

export interface PoolSettings {
  /** Number of sandboxes kept ready. */
  readonly poolSize: number;
  /** Largest number kept ready when demand is high. */
  readonly poolMax?: number;
}

type OpenPoolOptions = Omit<PoolOptions, 'size' | 'startsAtOnce' | 'pace'> & StartPaceOptions;

/** Opens a pool, and begins to fill it. */
export function openPool(
  backend: Backend,
  { poolSize, poolMax = 0 }: PoolSettings,
  { load, processors, ...others }: OpenPoolOptions,
): Pool {
  return new Pool(backend, {
    ...others,
    size: { least: poolSize, most: Math.max(poolSize, poolMax) },
    startsAtOnce: processors * STARTS_PER_PROCESSOR,
    pace: new StartPace({ load, processors }),
  });
}
