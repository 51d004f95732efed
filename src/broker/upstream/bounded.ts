import { followSignal } from '../../lib/follow-signal.ts';
import { unlessAborted } from '../../lib/unless-aborted.ts';
import { ToolFailure } from '../types.ts';
import { watchAnswers } from './fetch.ts';

const MIB = 1024 * 1024;
/** Time in milliseconds between the end of an answer and its arrival, if it was one. */
const SETTLE_MS = 1000;

export interface RequestLimits {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

export interface AnswerBounds {
  readonly server: string;
  /** Whether answers come in those of the requests, rather than in a stream for all. */
  readonly answersOnRequest: boolean;
  readonly bytes: number;
  /** Name in messages. */
  readonly what: string;
}

export type Within = { readonly signal: AbortSignal; readonly timeout: number };

/** Runs a request of the SDK within limits. */
export async function bounded<T>(
  { signal, timeoutMs }: RequestLimits,
  { server, bytes, what, answersOnRequest }: AnswerBounds,
  work: (within: Within) => Promise<T>,
): Promise<T> {
  const ending = new AbortController();
  const end = (failure: ToolFailure) => ending.abort(failure);
  let open = 0;
  let isOver = false;
  let settling: NodeJS.Timeout | undefined;
  const watch = {
    bytes,
    exceed: () => end(tooLarge(server, what, bytes)),
    begin: () => {
      open += 1;
      clearTimeout(settling);
    },
    end: () => {
      open -= 1;
      // By itself, the SDK would wait until its time is over.
      if (open === 0 && answersOnRequest && !isOver) settling = setTimeout(() => end(brokenOff(server)), SETTLE_MS);
    },
  };
  const timer = setTimeout(() => end(tooSlow(server, timeoutMs)), timeoutMs);
  using following = followSignal(signal, ending.signal);
  try {
    // The SDK has a limit of time of its own, which is never reached.
    const within = { signal: following.signal, timeout: timeoutMs * 2 };
    // While it connects, the SDK does not look at the signal.
    return await unlessAborted(
      watchAnswers(watch, () => work(within)),
      following.signal,
    );
  } catch (error) {
    if (ending.signal.aborted) throw ending.signal.reason;
    throw error;
  } finally {
    isOver = true;
    clearTimeout(settling);
    clearTimeout(timer);
  }
}

export function tooLarge(server: string, what: string, bytes: number): ToolFailure {
  const size = bytes < MIB ? `${bytes} bytes` : `${Math.round(bytes / MIB)} MiB`;
  const hint = 'Ask for less at once: a page, a filter, fewer fields. The operator sets max_result_bytes.';
  return new ToolFailure('limit', `The ${what} of ${server} is larger than ${size}.`, hint);
}

function tooSlow(server: string, timeoutMs: number): ToolFailure {
  const hint = 'Ask for less at once, or try again later. The operator sets timeout_s.';
  return new ToolFailure('timeout', `${server} did not answer within ${timeoutMs / 1000} seconds.`, hint);
}

function brokenOff(server: string): ToolFailure {
  const hint = 'Whether it has done what was asked is not known. Look before you call again.';
  return new ToolFailure('upstream', `${server} broke off its answer.`, hint);
}

export function endless(server: string): ToolFailure {
  return new ToolFailure('limit', `The list of tools of ${server} has no end.`, 'Its operator can say why.');
}
