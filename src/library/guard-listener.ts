/** A listener whose failure ends the call that it listens to, and not the sandbox. */
export interface GuardedListener<Event> {
  readonly onEvent: ((event: Event) => void | Promise<void>) | undefined;
  /** Aborts with the caller's own signal, and when the listener fails. */
  readonly signal: AbortSignal;
  /** Throws what the listener threw, if it did. */
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
      // A promise holds the program back, so it is passed on; its failure is not.
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
