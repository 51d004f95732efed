import { GloveboxError } from '../../errors.ts';
import type { PodState } from './api/pod.ts';
import type { Watch } from './api/watch.ts';
import type { PodId } from './pods.ts';
import { standingOf } from './standing.ts';
import { failureOf, notStarted, unscheduled, vanished, whyUnscheduled } from './start-failure.ts';

/** Longest time for a pod to run, in milliseconds. A node may have to pull a large image first. */
const START_LIMIT_MS = 300_000;
/** Time for a node that takes a pod to be found, in milliseconds. Some clusters add nodes when one is missing. */
const UNSCHEDULED_LIMIT_MS = 60_000;
/** Longest time without a word of the API server, in milliseconds. */
const SILENCE_LIMIT_MS = 30_000;
const LOOK_EVERY_MS = 1000;

/** Limits of a start, in milliseconds. */
export interface StartLimits {
  readonly startMs: number;
  readonly unscheduledMs: number;
  readonly silenceMs: number;
}

export const START_LIMITS: StartLimits = {
  startMs: START_LIMIT_MS,
  unscheduledMs: UNSCHEDULED_LIMIT_MS,
  silenceMs: SILENCE_LIMIT_MS,
};

export interface StartOptions {
  readonly limits?: StartLimits;
  /** Ends the wait. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Waits until a new pod runs.
 * @throws GloveboxError `engine_unavailable` or `capacity_exceeded` as soon as it is known that it will not; the reason of
 *   the signal
 */
export async function waitUntilRunning(
  watch: Watch<PodState>,
  { name, podUid }: PodId,
  { limits = START_LIMITS, signal }: StartOptions = {},
): Promise<void> {
  const begun = performance.now();
  const giveUp = new AbortController();
  let last: PodState | undefined;
  let unscheduledSince: number | undefined;
  let heardAt = begun;
  const look = () => {
    const now = performance.now();
    // A watch whose connection has died without a word counts as current for a while, and never tells of the pod.
    if (watch.isCurrent && last) heardAt = now;
    const why = last && whyUnscheduled(last);
    unscheduledSince = why === undefined ? undefined : (unscheduledSince ?? now);
    if (why !== undefined && now - (unscheduledSince ?? now) >= limits.unscheduledMs) giveUp.abort(unscheduled(why));
    else if (now - heardAt >= limits.silenceMs) giveUp.abort(silent());
    else if (now - begun >= limits.startMs) giveUp.abort(notStarted(last, limits.startMs / 1000));
  };
  const timer = setInterval(look, LOOK_EVERY_MS);
  try {
    const either = signal ? AbortSignal.any([giveUp.signal, signal]) : giveUp.signal;
    await watch.waitFor(name, judge, { timeoutMs: 2 * limits.startMs, signal: either });
  } finally {
    clearInterval(timer);
  }

  function judge(pod: PodState | undefined): true | undefined {
    if (pod?.metadata.uid !== podUid) {
      // Until the watch tells of it for the first time, it is on its way.
      if (last) throw vanished(last);
      return undefined;
    }
    last = pod;
    look();
    const failure = failureOf(pod);
    if (failure) throw failure;
    const standing = standingOf(pod, podUid);
    return standing.kind === 'running' && standing.isReady ? true : undefined;
  }
}

function silent(): GloveboxError {
  return new GloveboxError('engine_unavailable', 'The API server has stopped to tell how the sandbox starts.', {
    hint: 'Try again once the API server answers: kubectl get --raw /readyz',
  });
}
