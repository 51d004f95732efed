import { z } from 'zod';
import { GloveboxError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { refusalOf } from './api/answer.ts';
import type { KubernetesClient } from './api/client.ts';
import { type PodState, podPath, podSchema } from './api/pod.ts';
import { adoptionsOf } from './pod-spec.ts';
import type { Pods } from './pods.ts';
import { isCutOff } from './standing.ts';

/** Seconds for the main process to end. Without any, a pod counts as gone while its processes still run. */
const GRACE_S = 1;
/** Longest wait for the end of a pod, in milliseconds. */
const GONE_LIMIT_MS = 30_000;
/** Attempts to delete a pod that changes meanwhile: the kubelet writes down how it is. */
const MOST_ATTEMPTS = 5;
const CONFLICT = 409;

/** What a pod is found by. Without the uid, any pod of that name is meant. */
export interface Doomed {
  readonly name: string;
  readonly podUid: string | undefined;
  /** How often it was adopted when it was named so. One that was adopted since is another control plane's. */
  readonly adoptions?: number | undefined;
}

/**
 * Deletes a pod, and waits until its processes have ended. If the node of the pod does not answer, the cluster ends them as
 * soon as it does: that is not waited for. One that another control plane has adopted is left alone.
 * @throws GloveboxError `engine_unavailable`
 */
export async function removePod(client: KubernetesClient, pods: Pods, doomed: Doomed, log: Log): Promise<void> {
  const { name, podUid } = doomed;
  const watch = await pods.watch();
  if (!(await deletePod(client, doomed, watch.get(name)))) return;
  const settled = await watch.waitFor(name, (pod) => settle(pod, podUid), { timeoutMs: GONE_LIMIT_MS });
  if (settled === 'left') log.warn('a pod is deleted once its node is back', { pod: name });
}

/**
 * Deletes a pod on the condition that it is as it is known, for it may be adopted between a look at it and its end: this
 * process may have slept.
 * @param known how the watch knows it, which may be behind
 * @returns false if it is gone, or another control plane's
 */
async function deletePod(client: KubernetesClient, doomed: Doomed, known: PodState | undefined): Promise<boolean> {
  const path = podPath(client.namespace, doomed.name);
  let pod = known;
  for (let attempt = 1; ; attempt += 1) {
    try {
      if (attempt > 1 || (pod && isOther(pod, doomed))) {
        pod = await client.request('GET', path, { schema: podSchema });
        if (isOther(pod, doomed)) return false;
      }
      await client.request('DELETE', path, { body: deletionOf(doomed, pod), schema: z.unknown() });
      return true;
    } catch (error) {
      if (error instanceof GloveboxError && error.code === 'sandbox_lost') return false;
      if (refusalOf(error)?.statusCode !== CONFLICT || attempt === MOST_ATTEMPTS) throw error;
    }
  }
}

function deletionOf({ podUid: uid }: Doomed, pod: PodState | undefined): object {
  const version = pod && { resourceVersion: pod.metadata.resourceVersion };
  return {
    ...{ apiVersion: 'v1', kind: 'DeleteOptions', gracePeriodSeconds: GRACE_S },
    ...(uid === undefined ? {} : { preconditions: { uid, ...version } }),
  };
}

/** Whether a pod is not the one that is meant, or is no longer the own one. */
function isOther({ metadata: { uid, annotations } }: PodState, { podUid, adoptions = 0 }: Doomed): boolean {
  return podUid !== undefined && (uid !== podUid || adoptionsOf(annotations) !== adoptions);
}

/** How far a removal is: `gone`, or `left` to a node that does not answer. Undefined if it is to be waited for. */
function settle(pod: PodState | undefined, podUid: string | undefined): 'gone' | 'left' | undefined {
  if (!pod || (podUid !== undefined && pod.metadata.uid !== podUid)) return 'gone';
  return pod.metadata.deletionTimestamp !== undefined && isCutOff(pod) ? 'left' : undefined;
}
