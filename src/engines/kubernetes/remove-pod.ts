import { z } from 'zod';
import { GloveboxError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { refusalOf } from './api/answer.ts';
import type { KubernetesClient } from './api/client.ts';
import { type PodState, podPath } from './api/pod.ts';
import type { Pods } from './pods.ts';
import { isCutOff } from './standing.ts';

/** Seconds for the main process to end. Without any, a pod counts as gone while its processes still run. */
const GRACE_S = 1;
/** Longest wait for the end of a pod, in milliseconds. */
const GONE_LIMIT_MS = 30_000;

/** What a pod is found by. Without the uid, any pod of that name is meant. */
export interface Doomed {
  readonly name: string;
  readonly podUid: string | undefined;
}

/**
 * Deletes a pod, and waits until its processes have ended. If the node of the pod does not answer, the cluster ends them as
 * soon as it does: that is not waited for.
 * @throws GloveboxError `engine_unavailable`
 */
export async function removePod(
  client: KubernetesClient,
  pods: Pods,
  { name, podUid }: Doomed,
  log: Log,
): Promise<void> {
  const watch = await pods.watch();
  const body = {
    ...{ apiVersion: 'v1', kind: 'DeleteOptions', gracePeriodSeconds: GRACE_S },
    ...(podUid === undefined ? {} : { preconditions: { uid: podUid } }),
  };
  try {
    await client.request('DELETE', podPath(client.namespace, name), { body, schema: z.unknown() });
  } catch (error) {
    // A conflict: a pod that took the name of the one that is gone.
    const isGone =
      (error instanceof GloveboxError && error.code === 'sandbox_lost') || refusalOf(error)?.statusCode === 409;
    if (isGone) return;
    throw error;
  }
  const settled = await watch.waitFor(name, (pod) => settle(pod, podUid), { timeoutMs: GONE_LIMIT_MS });
  if (settled === 'left') log.warn('a pod is deleted once its node is back', { pod: name });
}

/** How far a removal is: `gone`, or `left` to a node that does not answer. Undefined if it is to be waited for. */
function settle(pod: PodState | undefined, podUid: string | undefined): 'gone' | 'left' | undefined {
  if (!pod || (podUid !== undefined && pod.metadata.uid !== podUid)) return 'gone';
  return pod.metadata.deletionTimestamp !== undefined && isCutOff(pod) ? 'left' : undefined;
}
