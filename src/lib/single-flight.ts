import { GloveboxError } from '../errors.ts';

export interface Waiting {
  /** Hears what is being done. */
  readonly onProgress?: (message: string) => void;
  /** Ends the waiting, not the work. */
  readonly signal?: AbortSignal;
}

/**
 * Work that is done once for all who ask: later callers wait for the same work, and hear its progress too.
 * Work that failed is tried anew by the next who asks. With `patienceMs`, a caller that has waited so long is
 * told `engine_unavailable`, and that the work goes on.
 */
export function singleFlight<T>(
  work: (report: (message: string) => void) => Promise<T>,
  patienceMs?: number,
): (waiting?: Waiting) => Promise<T> {
  const listeners = new Set<(message: string) => void>();
  let latest = '';
  let underWay: Promise<T> | undefined;
  const report = (message: string) => {
    latest = message;
    for (const listener of listeners) listener(message);
  };
  const begin = () =>
    work(report).catch((error: unknown) => {
      underWay = undefined;
      throw error;
    });
  return async ({ onProgress, signal } = {}) => {
    underWay ??= begin();
    if (onProgress) listeners.add(onProgress);
    const impatience = Promise.withResolvers<never>();
    const timer =
      patienceMs === undefined ? undefined : setTimeout(() => impatience.reject(stillUnderWay(latest)), patienceMs);
    const leave = () => impatience.reject(signal?.reason);
    signal?.addEventListener('abort', leave, { once: true });
    try {
      return await Promise.race([underWay, impatience.promise]);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', leave);
      if (onProgress) listeners.delete(onProgress);
    }
  };
}

function stillUnderWay(latest: string): GloveboxError {
  return new GloveboxError('engine_unavailable', `The sandbox is still being set up${latest ? ` (${latest})` : ''}.`, {
    hint: 'The work goes on: call again in a minute.',
  });
}
