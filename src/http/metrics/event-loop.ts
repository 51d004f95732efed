import { monitorEventLoopDelay } from 'node:perf_hooks';

/** Sampling interval of the monitor in milliseconds. It is subtracted from the measured delays. */
const RESOLUTION_MS = 50;
const QUANTILES = [0.5, 0.99] as const;

/** Delay of the event loop since the last reading, in seconds: how long calls had to wait for the server's own work. */
export interface EventLoopDelay {
  readonly maxS: number;
  readonly quantilesS: ReadonlyMap<number, number>;
}

/** Starts to measure the event loop. Each call of the returned function gives the delay since the call before. */
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
