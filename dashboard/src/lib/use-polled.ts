import { useEffect, useRef, useState } from 'preact/hooks';
import { isConnected } from '../api/connection.ts';
import { type ApiError, describeError } from '../api/error.ts';

/** Interval at which a page that is not seen looks whether it is. */
const HIDDEN_MS = 2000;

export interface Polled<T> {
  readonly value: T | undefined;
  readonly error: ApiError | undefined;
  /** Reads it again now. */
  readonly refresh: () => void;
}

/**
 * Reads a value again and again while the page is seen and the server answers. The last value stays when a reading fails.
 * @param read reads the value; one that depends on something else gets a `key`
 */
export function usePolled<T>(read: (signal: AbortSignal) => Promise<T>, intervalMs: number, key = ''): Polled<T> {
  const [state, setState] = useState<{ key: string; value?: T; error?: ApiError }>({ key });
  const [round, setRound] = useState(0);
  const latest = useRef(read);
  latest.current = read;
  // A new round, another key and a server that is back read again.
  const connected = isConnected.value;
  useEffect(() => {
    const ended = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const poll = async () => {
      const isSeen = document.visibilityState === 'visible';
      try {
        if (isSeen) {
          const value = await latest.current(ended.signal);
          if (!ended.signal.aborted) setState({ key, value });
        }
      } catch (thrown) {
        const error = describeError(thrown);
        if (!ended.signal.aborted) setState((before) => ({ ...(before.key === key ? before : { key }), error }));
      }
      if (!ended.signal.aborted) timer = setTimeout(poll, isSeen ? intervalMs : Math.min(intervalMs, HIDDEN_MS));
    };
    void poll();
    return () => {
      ended.abort();
      clearTimeout(timer);
    };
  }, [key, round, connected, intervalMs]);
  const isCurrent = state.key === key;
  return {
    value: isCurrent ? state.value : undefined,
    error: isCurrent ? state.error : undefined,
    refresh: () => setRound((before) => before + 1),
  };
}
