import { monitorEventLoopDelay } from 'node:perf_hooks';

/** Between two looks of the monitor; what it tells is the time beyond it. */
const RESOLUTION_MS = 10;
const QUANTILES = [0.5, 0.99] as const;

/** How long work of the server's own has kept other calls waiting, in seconds, since the last time that was asked. */
export interface EventLoopDelay {
  readonly maxS: number;
  readonly quantilesS: ReadonlyMap<number, number>;
}

/** Watches the event loop from now on; each answer is of the time since the one before. */
export function watchEventLoop(): () => EventLoopDelay {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  const beyond = (nanoseconds: number) => Math.max(0, nanoseconds / 1e9 - RESOLUTION_MS / 1000) || 0;
  return () => {
    const quantilesS = new Map(QUANTILES.map((quantile) => [quantile, beyond(histogram.percentile(quantile * 100))]));
    const delay = { maxS: histogram.count === 0 ? 0 : beyond(histogram.max), quantilesS };
    histogram.reset();
    return delay;
  };
}
