import { computed, signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { listApprovals } from '../api/approvals.ts';
import { approverKey } from '../api/approver-key.ts';
import { isConnected } from '../api/connection.ts';
import { type ApiError, describeError } from '../api/error.ts';
import type { Approval } from '../api/types.ts';

/** Interval of the readings, in milliseconds: code waits meanwhile. */
const POLL_MS = 2000;

/** Questions that wait for an answer. Undefined until they have been read. */
export const approvals = signal<readonly Approval[] | undefined>(undefined);
export const approvalsError = signal<ApiError | undefined>(undefined);
export const waiting = computed(() => approvals.value?.length ?? 0);

const round = signal(0);

/** Reads the questions again now. */
export function refreshApprovals(): void {
  round.value += 1;
}

/** Reads the questions again and again while there is a key for them, whichever view is shown, also in the background. */
export function useApprovals(): void {
  const key = approverKey.value;
  const again = round.value;
  const connected = isConnected.value;
  // A new round, another key and a server that is back read again.
  useEffect(() => {
    if (key === undefined) {
      approvals.value = undefined;
      approvalsError.value = undefined;
      return;
    }
    const ended = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const poll = async () => {
      try {
        const read = await listApprovals(ended.signal);
        if (ended.signal.aborted) return;
        approvals.value = read;
        approvalsError.value = undefined;
      } catch (thrown) {
        if (ended.signal.aborted) return;
        approvalsError.value = describeError(thrown);
      }
      timer = setTimeout(poll, POLL_MS);
    };
    void poll();
    return () => {
      ended.abort();
      clearTimeout(timer);
    };
  }, [key, again, connected]);
}
