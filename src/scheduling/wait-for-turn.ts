export interface EnterOptions {
  /** Ends the waiting. */
  readonly signal?: AbortSignal;
  /** Longest wait, in milliseconds. Default: no limit. */
  readonly patienceMs?: number;
  /** Called once when the call has to wait, with the number of calls ahead in the same queue. */
  readonly onWait?: (ahead: number) => void;
}

/**
 * Waits in a queue of functions. To admit a call, remove its function from the queue and call it.
 * @throws the error of `onLate` when the wait takes too long; the signal's reason when it aborts. In both cases the call
 *   has left the queue.
 */
export async function waitForTurn(
  queue: Set<() => void>,
  { signal, patienceMs, onWait }: EnterOptions,
  onLate: () => Error,
): Promise<void> {
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const leave = (reason: unknown) => {
    queue.delete(resolve);
    reject(reason);
  };
  const onAbort = () => leave(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  const timer = patienceMs === undefined ? undefined : setTimeout(() => leave(onLate()), patienceMs);
  queue.add(resolve);
  onWait?.(queue.size - 1);
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}
