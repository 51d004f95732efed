export interface EnterOptions {
  /** Ends the waiting. */
  readonly signal?: AbortSignal;
  /** How long to wait at most; without end if left out. */
  readonly patienceMs?: number;
  /** Hears, once, that there is a wait, and how many of the same queue are ahead. */
  readonly onWait?: (ahead: number) => void;
}

/**
 * Waits in a queue, whose owner admits whom it takes out of it by calling that.
 * @throws what `onLate` makes when patience ends; the signal's reason when it aborts. Then it is out of the queue.
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
