import { GloveboxError } from '../../errors.ts';
import { type DiskSizes, diskSizesFor } from '../../sandbox/disk-sizes.ts';
import type { ConnectOptions } from '../../sandbox/engine.ts';
import {
  assertInRange,
  fingerprint,
  GVISOR_MEMORY_MB,
  isGvisor,
  MIB,
  mappedMemory,
  OPEN_FILES,
  RUNNER_ENVIRONMENT,
  runnerCommand,
  SIGNALS_OF_REMAPPED,
  type SpecWithUser,
} from '../hardening/sandbox-limits.ts';
import type { KubernetesSettings } from './settings.ts';

/** Labels of the pods of sandboxes. The instance is an annotation, as not each name of one may be a label. */
export const LABELS = {
  key: 'glovebox.key',
  uid: 'glovebox.uid',
  profile: 'glovebox.profile',
  instance: 'glovebox.instance',
  /** An annotation of a pod that was made for a pool. */
  pool: 'glovebox.pool',
  /** An annotation: how often another control plane has adopted the pod for its pool. */
  adopted: 'glovebox.adopted',
} as const;

/** The container of a sandbox in its pod. */
export const CONTAINER_NAME = 'sandbox';

/** Process 1, and the only program that the control plane starts; see `sandbox-image/hold/hold.c`. */
const HOLD = '/opt/glovebox/hold';
/** Starts the runner. Its limits are those that process 1 was given, so they are the same for each connection. */
export function runCommand(options?: ConnectOptions): readonly string[] {
  const variables = RUNNER_ENVIRONMENT.flatMap((variable) => ['--env', variable]);
  return [HOLD, 'run', ...variables, '--', ...runnerCommand(options)];
}
/** Kills all processes but the main one, and prints how many are left as `{"left":0}`. */
export const END_COMMAND: readonly string[] = [HOLD, 'end'];
/** Prints how many processes there are beside the main one, as `{"left":0}`. */
export const COUNT_COMMAND: readonly string[] = [HOLD, 'count'];
/** Is in no image: a node that answers says so, whatever code does to what is started. */
export const MISSING_COMMAND: readonly string[] = ['/opt/glovebox/missing'];

/**
 * Below a folder that is closed to the user. The file is on the disk of the node, without a limit, and everybody may write
 * to it where it can be reached.
 */
const TERMINATION_PATH = '/root/none';
/** Seconds in which a pod ends by itself once it is deleted. With 0, it is told as gone while its processes still run. */
const GRACE_S = 1;
/** What the log of a pod may take of the disk of its node. Nothing writes there; without a limit, much could. */
const NODE_DISK = '16Mi';
/** Taints of a node that does not answer. */
const UNREACHABLE = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'] as const;
/** Length of the name of a pod, of which the hostname is not made. */
const LONGEST_NAME = 63;
const NAME_PREFIX = 'glovebox-';

/** A volume that stays empty, and lies over folders that code has no use for. */
const NOTHING = 'nothing';
/**
 * Folders that are there on each node, and that no runtime masks by itself. Files in the first are message queues. Their
 * system calls are refused, but open() alone could create one. A pod has no field for paths to be masked.
 */
const HIDDEN = ['/dev/mqueue', '/sys/kernel', '/sys/module'];

/** Folders that are empty in a sandbox, beside those that the container runtime masks. */
export function hiddenPaths({ runtime }: Pick<SpecWithUser, 'runtime'>): readonly string[] {
  // Its kernel tells nothing of the node.
  return isGvisor(runtime) ? ['/dev/mqueue'] : HIDDEN;
}

/** Settings that decide how a pod is made, beside its specification. */
export type PodSettings = Pick<
  KubernetesSettings,
  | 'kubernetesNodeSelector'
  | 'kubernetesTolerations'
  | 'kubernetesCpuRequest'
  | 'kubernetesMemoryRequestMb'
  | 'kubernetesPullSecret'
  | 'kubernetesSeccomp'
  | 'kubernetesUserNamespaces'
  | 'kubernetesNodeLostS'
>;

/** The name of a sandbox's pod. @throws GloveboxError `invalid_input` for a key that cannot be part of one */
export function podName(key: string): string {
  const name = `${NAME_PREFIX}${key}`;
  if (name.length <= LONGEST_NAME && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(name)) return name;
  throw new GloveboxError('invalid_input', `The key of a sandbox in a pod must have small letters, digits or "-".`);
}

/** Separates the key of a sandbox, the uid of its pod and its user in its ref. */
const REF_SEPARATOR = '/';

/** Space for the claims of sessions between two adoptions of a pod. */
const CLAIMS = 2 ** 32;

/** A pod as its ref names it. */
export interface PodOfRef {
  readonly name: string;
  readonly podUid: string;
  /** How often it was adopted when it was named so. */
  readonly adoptions: number;
}

/** The pod of a sandbox, by its ref. */
export function podOfRef(ref: string): PodOfRef {
  const [key = '', podUid = '', , adoptions = '0'] = ref.split(REF_SEPARATOR);
  return { name: podName(key), podUid, adoptions: Number(adoptions) };
}

/** The ref of a pod's sandbox. One that is adopted has another than before. */
export function refOf(key: string, podUid: string, uid: string | number, adoptions = 0): string {
  return [key, podUid, uid, ...(adoptions > 0 ? [adoptions] : [])].join(REF_SEPARATOR);
}

/** The ref of a sandbox after a further adoption. */
export function adoptedRef(ref: string, adoptions: number): string {
  const [key = '', podUid = '', uid = ''] = ref.split(REF_SEPARATOR);
  return refOf(key, podUid, uid, adoptions);
}

/** How often a pod was adopted. */
export function adoptionsOf(annotations: Readonly<Record<string, string>>): number {
  return Number(annotations[LABELS.adopted] ?? 0);
}

/**
 * The generation by which a runner is reached: higher with each adoption of its pod than any that a control plane had
 * before. So none of those gets in again.
 */
export function generationIn(ref: string, generation?: number): number | undefined {
  const { adoptions } = podOfRef(ref);
  return adoptions === 0 ? generation : adoptions * CLAIMS + (generation ?? 0);
}

/** Whether a pod has the name of the sandbox whose key is in its labels. */
export function isNameOf(name: string, key = ''): boolean {
  return key !== '' && name === `${NAME_PREFIX}${key}`;
}

/**
 * Makes the pod of a sandbox, with all its hardening. Only sizes, and where it runs, depend on settings.
 * @throws GloveboxError `invalid_input` when a size is out of range
 */
export function podOptions(spec: SpecWithUser, settings: PodSettings) {
  assertInRange(spec);
  const name = podName(spec.key);
  const common = podSpec({ ...spec, uid: 0 }, settings);
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      labels: {
        'app.kubernetes.io/name': 'glovebox-sandbox',
        'app.kubernetes.io/managed-by': 'glovebox',
        [LABELS.key]: spec.key,
        [LABELS.uid]: String(spec.uid),
        [LABELS.profile]: fingerprint(common),
      },
      annotations: {
        [LABELS.instance]: spec.instance,
        [LABELS.adopted]: '0',
        ...(spec.isPooled ? { [LABELS.pool]: 'true' } : {}),
      },
    },
    spec: podSpec(spec, settings),
  };
}

function podSpec(spec: SpecWithUser, settings: PodSettings) {
  const disks = diskSizesFor(spec.memoryMb, spec.diskMb);
  return {
    restartPolicy: 'Never',
    activeDeadlineSeconds: spec.maxLifetimeS,
    terminationGracePeriodSeconds: GRACE_S,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    hostname: 'sandbox',
    dnsPolicy: 'None',
    dnsConfig: { nameservers: ['127.0.0.1'] },
    ...(settings.kubernetesUserNamespaces === 1 ? { hostUsers: false } : {}),
    ...(spec.runtime === undefined ? {} : { runtimeClassName: spec.runtime }),
    ...(settings.kubernetesPullSecret === undefined
      ? {}
      : { imagePullSecrets: [{ name: settings.kubernetesPullSecret }] }),
    nodeSelector: { 'kubernetes.io/os': 'linux', ...readSelector(settings.kubernetesNodeSelector) },
    tolerations: [
      ...settings.kubernetesTolerations.map(readToleration),
      ...UNREACHABLE.map((key) => ({
        ...{ key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: settings.kubernetesNodeLostS },
      })),
    ],
    securityContext: {
      runAsNonRoot: true,
      runAsUser: spec.uid,
      runAsGroup: spec.uid,
      // No `fsGroup`: its bit would be on each folder of a session, also of its archives. The disks are open to all as they are.
      seccompProfile: seccompOf(settings.kubernetesSeccomp),
    },
    containers: [container(spec, settings, disks)],
    volumes: [
      ...[disk('workspace', disks.workspaceMb), disk('tmp', disks.tmpMb), disk('shm', disks.shmMb)],
      disk(NOTHING, 1),
    ],
  };
}

function container(spec: SpecWithUser, settings: PodSettings, disks: DiskSizes) {
  const memoryMb = Math.max(spec.memoryMb, isGvisor(spec.runtime) ? GVISOR_MEMORY_MB : 0);
  return {
    name: CONTAINER_NAME,
    image: spec.image,
    imagePullPolicy: 'IfNotPresent',
    command: [HOLD, 'hold', ...heldLimits(spec, memoryMb, disks, settings), '--filter', filterOf(spec, settings)],
    workingDir: '/',
    terminationMessagePath: TERMINATION_PATH,
    terminationMessagePolicy: 'File',
    securityContext: {
      privileged: false,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
    resources: {
      limits: { cpu: processors(spec.cpus), memory: `${memoryMb}Mi`, 'ephemeral-storage': NODE_DISK },
      requests: {
        cpu: processors(Math.min(settings.kubernetesCpuRequest, spec.cpus)),
        memory: `${Math.min(settings.kubernetesMemoryRequestMb, memoryMb)}Mi`,
        'ephemeral-storage': NODE_DISK,
      },
    },
    volumeMounts: [
      { name: 'workspace', mountPath: '/workspace' },
      { name: 'tmp', mountPath: '/tmp' },
      { name: 'shm', mountPath: '/dev/shm' },
      ...hiddenPaths(spec).map((mountPath) => ({ name: NOTHING, mountPath, readOnly: true })),
    ],
  };
}

/**
 * Limits that a pod has no fields for. Process 1 keeps them, and gives them to the runner. The one of processes counts
 * those of the user on the node, which are the sandbox's alone: the kubelet's own limit is for all pods of a node alike,
 * and mostly there is none.
 */
function heldLimits(spec: SpecWithUser, memoryMb: number, disks: DiskSizes, settings: PodSettings): string[] {
  const limits: Readonly<Record<string, number>> = {
    nofile: OPEN_FILES,
    core: 0,
    fsize: disks.largestFileMb * MIB,
    data: mappedMemory(memoryMb * MIB, spec.pids),
    nproc: spec.pids,
    ...(settings.kubernetesUserNamespaces === 1 ? { sigpending: SIGNALS_OF_REMAPPED } : {}),
  };
  return Object.entries(limits).flatMap(([name, value]) => ['--limit', `${name}=${value}`]);
}

/**
 * Which filter of system calls the runner puts on itself: the runtime's own lets more through. A profile of the nodes lets
 * no other be added, and with gVisor code does not see the kernel of the node.
 */
function filterOf({ runtime }: SpecWithUser, settings: PodSettings): 'none' | 'host' | 'remapped' {
  if (settings.kubernetesSeccomp !== 'runtime' || isGvisor(runtime)) return 'none';
  return settings.kubernetesUserNamespaces === 1 ? 'remapped' : 'host';
}

function seccompOf(profile: string) {
  return profile === 'runtime' ? { type: 'RuntimeDefault' } : { type: 'Localhost', localhostProfile: profile };
}

/** A folder in memory. Once it is full, writing fails; nothing is evicted. */
function disk(name: string, sizeMb: number) {
  return { name, emptyDir: { medium: 'Memory', sizeLimit: `${sizeMb}Mi` } };
}

function processors(cpus: number): string {
  return `${Math.max(1, Math.round(cpus * 1000))}m`;
}

function readSelector(items: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    items.map((item) => {
      const at = item.indexOf('=');
      return [item.slice(0, at), item.slice(at + 1)];
    }),
  );
}

/** Reads `key=value:Effect`, or `key:Effect` for any value. */
function readToleration(item: string) {
  const [, key = '', value, effect = ''] = /^([^=:]+)(?:=([^:]*))?:(.+)$/.exec(item) ?? [];
  return value === undefined ? { key, operator: 'Exists', effect } : { key, operator: 'Equal', value, effect };
}
