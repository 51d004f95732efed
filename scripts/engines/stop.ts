import { aborted } from '../../src/lib/deadline.ts';

/**
 * Waits for what nothing can cancel, but no longer than until the signal aborts: the end of its engine ends it as well.
 * @throws what the signal was aborted with
 */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const stop = aborted(signal).then((): never => {
    throw signal.reason;
  });
  return await Promise.race([work, stop]);
}
