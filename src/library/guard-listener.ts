/** Listener whose failure ends its call, but not the sandbox. */
export interface GuardedListener<Event> {
  readonly onEvent: ((event: Event) => void | Promise<void>) | undefined;
  /** Aborts with the caller's own signal, and when the listener fails. */
  readonly signal: AbortSignal;
  /** Throws the error of the listener, if it failed. */
  check(): void;
}

/** Guards the listener of one call. */
export function guardListener<Event>(
  onEvent: ((event: Event) => void | Promise<void>) | undefined,
  signal: AbortSignal | undefined,
): GuardedListener<Event> {
  const failed = new AbortController();
  const failures: unknown[] = [];
  const fail = (error: unknown) => {
    failures.push(error);
    failed.abort();
  };
  const guarded = (event: Event): void | Promise<void> => {
    if (failures.length > 0) return;
    try {
      // Pass a promise on, because the program waits for it. Do not pass on its failure.
      return onEvent?.(event)?.catch(fail);
    } catch (error) {
      fail(error);
    }
  };
  return {
    onEvent: onEvent && guarded,
    signal: signal ? AbortSignal.any([signal, failed.signal]) : failed.signal,
    check: () => {
      if (failures.length > 0) throw failures[0];
    },
  };
}
