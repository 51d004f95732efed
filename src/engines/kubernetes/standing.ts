import type { PodState } from './api/pod.ts';

/** What the state of a pod means for its sandbox. */
export type Standing =
  | { readonly kind: 'starting' }
  | {
      readonly kind: 'running';
      readonly isReady: boolean;
      /** Whether its node does not answer the cluster. */
      readonly isCutOff: boolean;
      readonly node: string;
    }
  /** It will not run again. */
  | { readonly kind: 'gone'; readonly why: string };

/** Most characters of what a node or a cluster says in its own words. */
const QUOTE_LIMIT = 300;

/** Reasons of a pod that has ended, in words. What a node says follows. */
const ENDINGS: Readonly<Record<string, string>> = {
  Evicted: 'its node evicted it',
  DeadlineExceeded: 'it reached the longest lifetime of a sandbox',
  OOMKilled: 'the memory limit ended all of it',
  NodeShutdown: 'its node was shut down',
  Terminated: 'its node was shut down',
  Preempting: 'a pod of a higher priority took its place',
  NodeLost: 'its node was lost',
};

/**
 * Judges a pod.
 * @param pod as the API server tells it; undefined if there is none
 * @param uid that of the pod that is meant: another one may have its name
 */
export function standingOf(pod: PodState | undefined, uid: string): Standing {
  if (!pod || pod.metadata.uid !== uid) return { kind: 'gone', why: 'its pod was deleted' };
  const { phase } = pod.status;
  if (phase === 'Failed' || phase === 'Succeeded') return { kind: 'gone', why: whyEnded(pod) };
  if (pod.metadata.deletionTimestamp !== undefined) return { kind: 'gone', why: whyDeleted(pod) };
  if (phase !== 'Running') return { kind: 'starting' };
  if (pod.status.containerStatuses.some(({ state }) => state.terminated)) return { kind: 'gone', why: whyEnded(pod) };
  return { kind: 'running', isReady: isReady(pod), isCutOff: isCutOff(pod), node: pod.spec.nodeName ?? '' };
}

/**
 * Whether the node of a pod does not answer the cluster. The cluster then takes back that the pod is ready, and leaves all
 * else as the node told it last. A node that answers says of each container whether that is ready.
 */
export function isCutOff(pod: PodState): boolean {
  const { phase, containerStatuses } = pod.status;
  return phase === 'Running' && containerStatuses.every(({ ready }) => ready) && !isReady(pod);
}

function isReady({ status }: PodState): boolean {
  return status.conditions.some((condition) => condition.type === 'Ready' && condition.status === 'True');
}

/** Reasons of the cluster itself for deleting a pod, in words. */
const DISRUPTIONS: Readonly<Record<string, string>> = {
  DeletionByTaintManager: 'its node did not answer for too long, or was closed to it',
  EvictionByEvictionAPI: 'its node is being emptied',
  PreemptionByScheduler: 'a pod of a higher priority took its place',
  TerminationByKubelet: 'its node ended it',
};

function whyDeleted({ status }: PodState): string {
  const disruption = status.conditions.find((one) => one.type === 'DisruptionTarget' && one.status === 'True');
  return DISRUPTIONS[disruption?.reason ?? ''] ?? 'its pod was deleted';
}

function whyEnded({ status }: PodState): string {
  const ended = status.containerStatuses.find(({ state }) => state.terminated)?.state.terminated;
  const isOverMemory = ended?.reason === 'OOMKilled';
  const reason = isOverMemory ? 'OOMKilled' : status.reason;
  const words = ENDINGS[reason ?? ''] ?? (reason ? `its node ended it (${reason})` : 'its main process ended');
  const said = quote(status.message ?? ended?.message);
  return said ? `${words}: ${said}` : words;
}

/** What a node or a cluster says, on one line and not too long. The cause often stands at the end. */
export function quote(said: string | undefined): string {
  const line = said?.replaceAll(/\s+/g, ' ').trim().replace(/\.$/, '') ?? '';
  const half = QUOTE_LIMIT / 2;
  return line.length > QUOTE_LIMIT ? `${line.slice(0, half)} … ${line.slice(-half)}` : line;
}
