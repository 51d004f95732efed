import { GloveboxError } from '../errors.ts';

export interface Waiting {
  /** Called with messages on the progress. */
  readonly onProgress?: (message: string) => void;
  /** Aborts the wait, but not the work. */
  readonly signal?: AbortSignal;
}

/**
 * Makes a function that does some work once for all its callers. Later callers wait for the same work, and get its
 * progress messages too. If the work fails, the next call tries it again.
 * @param patienceMs milliseconds after which a caller stops waiting: it gets `engine_unavailable`, and the work goes on
 */
export function singleFlight<T>(
  work: (report: (message: string) => void) => Promise<T>,
  patienceMs?: number,
): (waiting?: Waiting) => Promise<T> {
  const listeners = new Set<(message: string) => void>();
  let latest = '';
  let running: Promise<T> | undefined;
  const report = (message: string) => {
    latest = message;
    for (const listener of listeners) listener(message);
  };
  const begin = () =>
    work(report).catch((error: unknown) => {
      running = undefined;
      throw error;
    });
  return async ({ onProgress, signal } = {}) => {
    running ??= begin();
    if (onProgress) listeners.add(onProgress);
    const giveUp = Promise.withResolvers<never>();
    const timer =
      patienceMs === undefined ? undefined : setTimeout(() => giveUp.reject(stillUnderWay(latest)), patienceMs);
    const leave = () => giveUp.reject(signal?.reason);
    signal?.addEventListener('abort', leave, { once: true });
    if (signal?.aborted) leave();
    try {
      return await Promise.race([running, giveUp.promise]);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', leave);
      if (onProgress) listeners.delete(onProgress);
    }
  };
}

function stillUnderWay(latest: string): GloveboxError {
  return new GloveboxError('engine_unavailable', `The sandbox is still being set up${latest ? ` (${latest})` : ''}.`, {
    hint: 'Setup continues. Call again in a minute.',
  });
}
