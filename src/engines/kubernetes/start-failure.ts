import { GloveboxError } from '../../errors.ts';
import type { PodState } from './api/pod.ts';
import { quote, standingOf } from './standing.ts';

/** Reasons for which a node cannot get the image. */
const IMAGE_REASONS: readonly string[] = [
  ...['ErrImagePull', 'ImagePullBackOff', 'ErrImageNeverPull', 'InvalidImageName', 'ImageInspectError'],
  ...['RegistryUnavailable', 'SignatureValidationFailed'],
];
/** Reasons for which a node cannot make the container, and will not be able to a moment later. */
const CONTAINER_REASONS: readonly string[] = [
  ...['CreateContainerConfigError', 'CreateContainerError', 'RunContainerError', 'CrashLoopBackOff'],
  ...['ContainerCannotRun', 'StartError'],
];

/** Why a pod will not start. Undefined while it may. */
export function failureOf(pod: PodState): GloveboxError | undefined {
  const waiting = pod.status.containerStatuses.map(({ state }) => state.waiting).find((state) => state?.reason);
  const reason = waiting?.reason ?? '';
  if (IMAGE_REASONS.includes(reason)) return withoutImage(pod, reason, quote(waiting?.message));
  if (CONTAINER_REASONS.includes(reason)) return withoutContainer(pod, reason, quote(waiting?.message));
  const ended = pod.status.containerStatuses.map(({ state }) => state.terminated).find(Boolean);
  if (ended && CONTAINER_REASONS.includes(ended.reason ?? '')) {
    return withoutContainer(pod, ended.reason ?? '', quote(ended.message));
  }
  const standing = standingOf(pod, pod.metadata.uid);
  return standing.kind === 'gone' ? endedBefore(pod, standing.why) : undefined;
}

/** The error for a pod that is there no more. @param last as it was known last */
export function vanished(last: PodState): GloveboxError {
  const standing = standingOf(undefined, last.metadata.uid);
  return endedBefore(last, standing.kind === 'gone' ? standing.why : '');
}

function endedBefore(pod: PodState, why: string): GloveboxError {
  return unavailable(
    `The sandbox ended on ${nodeOf(pod)} before it ran: ${why}.`,
    'Look at the node, and at the limits of the namespace: kubectl describe node, kubectl get events.',
  );
}

/** Why no node takes a pod. Undefined if one does, or none was looked for yet. */
export function whyUnscheduled({ status, spec }: PodState): string | undefined {
  if (spec.nodeName) return undefined;
  const condition = status.conditions.find(({ type }) => type === 'PodScheduled');
  return condition?.status === 'False' ? quote(condition.message) || condition.reason : undefined;
}

/** The error for a pod that no node takes. */
export function unscheduled(why: string): GloveboxError {
  return new GloveboxError('capacity_exceeded', `No node of the cluster takes another sandbox: ${why}.`, {
    hint: 'Close sessions, add nodes, or lower GLOVEBOX_KUBERNETES_CPU_REQUEST and GLOVEBOX_KUBERNETES_MEMORY_REQUEST_MB. If it is about labels or taints, correct GLOVEBOX_KUBERNETES_NODE_SELECTOR and GLOVEBOX_KUBERNETES_TOLERATIONS.',
  });
}

/** The error for a pod that is not running after all the time that it may take. */
export function notStarted(pod: PodState | undefined, seconds: number): GloveboxError {
  const waiting = pod?.status.containerStatuses.map(({ state }) => state.waiting).find(Boolean);
  const state = quote(waiting?.message) || waiting?.reason || pod?.status.phase || 'without a state';
  const name = pod?.metadata.name ?? 'its pod';
  return unavailable(
    `The sandbox did not start on ${pod ? nodeOf(pod) : 'any node'} within ${seconds} s: it is ${state}.`,
    `Look at what the cluster says of it: kubectl get events --field-selector involvedObject.name=${name}`,
  );
}

function withoutImage(pod: PodState, reason: string, said: string): GloveboxError {
  const hint =
    reason === 'ErrImageNeverPull'
      ? 'Load the image on each node that may run sandboxes.'
      : 'Correct GLOVEBOX_IMAGE, push that image, and name the secret of its registry with GLOVEBOX_KUBERNETES_PULL_SECRET if it needs one.';
  return unavailable(`${capital(nodeOf(pod))} cannot get the sandbox image (${reason}): ${said}.`, hint);
}

function withoutContainer(pod: PodState, reason: string, said: string): GloveboxError {
  return unavailable(`${capital(nodeOf(pod))} cannot make the sandbox (${reason}): ${said}.`, hintOf(said));
}

function hintOf(said: string): string {
  if (/seccomp/i.test(said)) {
    return 'Put the profile on each node, or set GLOVEBOX_KUBERNETES_SECCOMP=runtime.';
  }
  if (/glovebox\/hold/.test(said)) {
    return 'GLOVEBOX_IMAGE must be an image for clusters, as "glovebox image --kubernetes" builds it.';
  }
  if (/user namespace|userns|idmap/i.test(said))
    return 'Set GLOVEBOX_KUBERNETES_USER_NAMESPACES=0, or upgrade the nodes.';
  return 'Look at the node: the log of its kubelet and of its container runtime says more.';
}

function nodeOf({ spec }: PodState): string {
  return spec.nodeName ? `the node "${spec.nodeName}"` : 'a node';
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function unavailable(message: string, hint: string): GloveboxError {
  return new GloveboxError('engine_unavailable', message, { hint });
}
