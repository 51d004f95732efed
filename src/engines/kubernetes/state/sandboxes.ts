import { z } from 'zod';
import { GloveboxError } from '../../../errors.ts';
import type { Log } from '../../../log.ts';
import { statusOf } from '../api/answer.ts';
import type { KubernetesClient } from '../api/client.ts';
import { podPath } from '../api/pod.ts';
import { LABELS, podOfRef } from '../pod-spec.ts';
import { API_VERSION, KIND } from './names.ts';
import type { RecordObject } from './record.ts';

/** Status of a JSON patch whose test fails. */
const INVALID = 422;
/** Longest wait for an answer, in milliseconds. */
const ANSWER_MS = 10_000;

/** Has the cluster remove a sandbox with the record of its session. Fails silently: a later start removes what is left. */
export async function tieToRecord(client: KubernetesClient, ref: string, record: RecordObject, log: Log) {
  const { name, podUid } = podOfRef(ref);
  const owner = { apiVersion: API_VERSION, kind: KIND, name: record.metadata.name, uid: record.metadata.uid };
  // The uid is a condition: of a pod that took the name of the one that is meant.
  const body = { metadata: { uid: podUid, ownerReferences: [owner] } };
  try {
    await client.request('PATCH', podPath(client.namespace, name), {
      body,
      contentType: 'application/merge-patch+json',
      schema: z.unknown(),
      timeoutMs: ANSWER_MS,
    });
  } catch (error) {
    if (error instanceof GloveboxError && error.code === 'sandbox_lost') return;
    log.warn('a sandbox is not removed with the record of its session', { pod: name, error });
  }
}

/**
 * Changes the label of the run to which a sandbox belongs, if it still is the one that is expected.
 * @throws GloveboxError `engine_unavailable`
 */
export async function relabel(client: KubernetesClient, ref: string, from: string, to: string): Promise<boolean> {
  const { name, podUid } = podOfRef(ref);
  const path = `/metadata/annotations/${LABELS.instance}`;
  const body = [
    { op: 'test', path: '/metadata/uid', value: podUid },
    { op: 'test', path, value: from },
    { op: 'replace', path, value: to },
  ];
  const look = async () => {
    const schema = z.object({
      metadata: z.object({ uid: z.string(), annotations: z.record(z.string(), z.string()).default({}) }),
    });
    const { metadata } = await client.request('GET', podPath(client.namespace, name), { schema });
    return metadata.uid === podUid && metadata.annotations[LABELS.instance] === to;
  };
  try {
    const contentType = 'application/json-patch+json';
    const schema = z.unknown();
    await client.request('PATCH', podPath(client.namespace, name), { body, contentType, schema, timeoutMs: ANSWER_MS });
    return true;
  } catch (error) {
    const status = statusOf(error);
    if (error instanceof GloveboxError && error.code === 'sandbox_lost') return false;
    if (status === INVALID) return false;
    // Without an answer, the pod tells.
    if (status === undefined || status >= 500) return await look();
    throw error;
  }
}
