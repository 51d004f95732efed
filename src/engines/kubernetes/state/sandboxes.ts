import { z } from 'zod';
import { GloveboxError } from '../../../errors.ts';
import { statusOf } from '../api/answer.ts';
import type { KubernetesClient } from '../api/client.ts';
import { type PodState, podPath, podSchema } from '../api/pod.ts';
import { adoptedRef, adoptionsOf, LABELS, podOfRef } from '../pod-spec.ts';

/** Status of a JSON patch whose test fails. */
const INVALID = 422;
/** Longest wait for an answer, in milliseconds. */
const ANSWER_MS = 10_000;
/** Attempts to change a pod that changes meanwhile: the kubelet writes down how it is. */
const MOST_ATTEMPTS = 5;

/** A pod, also with what nothing else reads of it. */
const wholeSchema = z.unknown().transform((whole) => ({ whole, pod: podSchema.parse(whole) }));
type Whole = z.infer<typeof wholeSchema>;
type Step = { readonly op: 'test' | 'add' | 'replace'; readonly path: string; readonly value: unknown };

const UID = '/metadata/uid';
const VERSION = '/metadata/resourceVersion';
const INSTANCE = `/metadata/annotations/${LABELS.instance}`;
const ADOPTED = `/metadata/annotations/${LABELS.adopted}`;

/** Whether a pod is as own ones are. */
export type IsFit = (pod: PodState, whole: unknown) => boolean;

/**
 * Changes the label of the run to which a sandbox belongs, if it still is the one that is expected.
 * @throws GloveboxError `engine_unavailable`
 */
export async function relabel(client: KubernetesClient, ref: string, from: string, to: string): Promise<boolean> {
  const { podUid } = podOfRef(ref);
  const isChanged = await patch(client, ref, [
    { op: 'test', path: UID, value: podUid },
    { op: 'test', path: INSTANCE, value: from },
    { op: 'replace', path: INSTANCE, value: to },
  ]);
  // Without an answer, the pod tells.
  return isChanged ?? (await read(client, ref))?.pod.metadata.annotations[LABELS.instance] === to;
}

/**
 * Has the pod of a dead run belong to another one, as a fresh sandbox, if it was never a session's: it is tied to no record.
 * The caller has found that no record names it. Returns its ref from then on.
 * @throws GloveboxError `engine_unavailable`
 */
export async function adoptPod(
  client: KubernetesClient,
  { ref, from, to }: { readonly ref: string; readonly from: string; readonly to: string },
  isFit: IsFit,
): Promise<string | undefined> {
  for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt += 1) {
    const found = await read(client, ref);
    if (!found || !isFresh(found.pod, from) || !isFit(found.pod, found.whole)) return undefined;
    const { annotations, resourceVersion } = found.pod.metadata;
    const adoptions = adoptionsOf(annotations) + 1;
    const adopted = adoptedRef(ref, adoptions);
    // Whoever ties it to a record meanwhile changes its version.
    const isDone = await patch(client, ref, [
      { op: 'test', path: VERSION, value: resourceVersion },
      { op: 'replace', path: INSTANCE, value: to },
      { op: 'add', path: ADOPTED, value: String(adoptions) },
    ]);
    if (isDone) return adopted;
    if (isDone === undefined && isOf(await read(client, adopted), to)) return adopted;
  }
  return undefined;
}

/**
 * Ties the pod of a sandbox to the record of its session: the cluster removes it with that, and no pool adopts it.
 * @param label of the own run, if this one is the first that names the pod
 * @returns false if it is gone, or if another run has adopted it
 * @throws GloveboxError `engine_unavailable`
 */
export async function tiePod(
  client: KubernetesClient,
  ref: string,
  { owner, label }: { readonly owner: OwnerReference; readonly label?: string | undefined },
): Promise<boolean> {
  const { podUid, adoptions } = podOfRef(ref);
  const add: Step = { op: 'add', path: '/metadata/ownerReferences', value: [owner] };
  const isOwn: readonly Step[] = [
    { op: 'test', path: UID, value: podUid },
    { op: 'test', path: INSTANCE, value: label },
    { op: 'test', path: ADOPTED, value: String(adoptions) },
  ];
  if (label !== undefined && (await patch(client, ref, [...isOwn, add]))) return true;
  for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt += 1) {
    const found = await read(client, ref);
    if (!found || adoptionsOf(found.pod.metadata.annotations) !== adoptions) return false;
    const { ownerReferences = [], resourceVersion } = found.pod.metadata;
    if (ownerReferences.length > 0) return ownerReferences.some((other) => uidOf(other) === owner.uid);
    if (await patch(client, ref, [{ op: 'test', path: VERSION, value: resourceVersion }, add])) return true;
  }
  throw new GloveboxError('engine_unavailable', 'The pod of the sandbox changes too often to be written to.', {
    hint: 'Call again.',
  });
}

/** The object that a pod is removed with. */
export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
}

const uidSchema = z.object({ uid: z.string() });

function uidOf(reference: unknown): string | undefined {
  return uidSchema.safeParse(reference).data?.uid;
}

/** Whether a pod still is one that a run had ready, as far as the pod tells. */
function isFresh({ metadata }: PodState, from: string): boolean {
  const { annotations, ownerReferences = [], deletionTimestamp } = metadata;
  const isPooled = annotations[LABELS.pool] !== undefined && annotations[LABELS.instance] === from;
  return isPooled && ownerReferences.length === 0 && deletionTimestamp === undefined;
}

function isOf(found: Whole | undefined, instance: string): boolean {
  return found?.pod.metadata.annotations[LABELS.instance] === instance;
}

/** Reads a pod as it is. Undefined if it is gone. */
async function read(client: KubernetesClient, ref: string): Promise<Whole | undefined> {
  const { name, podUid } = podOfRef(ref);
  try {
    const found = await client.request('GET', podPath(client.namespace, name), { schema: wholeSchema });
    return found.pod.metadata.uid === podUid ? found : undefined;
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/** Returns whether a pod was changed; false if a test failed, or if it is gone. Undefined if that is not known. */
async function patch(client: KubernetesClient, ref: string, body: readonly Step[]): Promise<boolean | undefined> {
  const path = podPath(client.namespace, podOfRef(ref).name);
  const contentType = 'application/json-patch+json';
  try {
    await client.request('PATCH', path, { body, contentType, schema: z.unknown(), timeoutMs: ANSWER_MS });
    return true;
  } catch (error) {
    const status = statusOf(error);
    if (isGone(error) || status === INVALID) return false;
    if (status === undefined || status >= 500) return undefined;
    throw error;
  }
}

function isGone(error: unknown): boolean {
  return error instanceof GloveboxError && error.code === 'sandbox_lost';
}
