export interface Deadline extends Disposable {
  /** Resolves with why an execution must stop, when it must. */
  readonly reason: Promise<'timeout' | 'cancelled'>;
  readonly cancel: () => void;
}

/** Disposing it stops the clock. A time that is over already stops at once. */
export function startDeadline(timeoutMs: number, signal: AbortSignal): Deadline {
  const { promise, resolve } = Promise.withResolvers<'timeout' | 'cancelled'>();
  const timer = setTimeout(resolve, Math.max(0, timeoutMs), 'timeout');
  const onAbort = () => resolve('cancelled');
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  return {
    reason: promise,
    cancel: onAbort,
    [Symbol.dispose]() {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    },
  };
}

/** The promise's value, or undefined after so many milliseconds. */
export async function within<T>(limitMs: number, promise: Promise<T>): Promise<T | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(resolve, limitMs, undefined);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
