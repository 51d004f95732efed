export interface Deadline extends Disposable {
  /** Resolves with the reason once the execution must stop. */
  readonly reason: Promise<'timeout' | 'cancelled'>;
  /** Resolves `reason` with 'cancelled', unless it is resolved already. */
  readonly cancel: () => void;
  /** Sets the limit anew, in milliseconds from now. A deadline that has passed stays so. */
  readonly postpone: (timeoutMs: number) => void;
}

/**
 * Starts the time limit of an execution. Disposing it stops the timer.
 * @param timeoutMs milliseconds until the limit; 0 or less stops at once
 */
export function startDeadline(timeoutMs: number, signal: AbortSignal): Deadline {
  const { promise, resolve } = Promise.withResolvers<'timeout' | 'cancelled'>();
  const arm = (ms: number) => setTimeout(resolve, Math.max(0, ms), 'timeout');
  let timer = arm(timeoutMs);
  const onAbort = () => resolve('cancelled');
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  return {
    reason: promise,
    cancel: onAbort,
    postpone: (ms) => {
      clearTimeout(timer);
      timer = arm(ms);
    },
    [Symbol.dispose]() {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    },
  };
}

/** Resolves with the value of a promise, or with undefined after `limitMs` milliseconds. */
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
