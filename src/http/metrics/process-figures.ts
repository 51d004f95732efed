/** What the process of the control plane uses. */
export interface ProcessFigures {
  readonly memoryBytes: number;
  /** Processor time in seconds. */
  readonly cpuS: number;
  /** Seconds since 1970. */
  readonly startedAtS: number;
}

export function readProcessFigures(): ProcessFigures {
  const { user, system } = process.cpuUsage();
  return {
    memoryBytes: process.memoryUsage.rss(),
    cpuS: (user + system) / 1e6,
    startedAtS: performance.timeOrigin / 1000,
  };
}
