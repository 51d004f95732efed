import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Log } from '../../log.ts';
import { type Assurances, type ExpectedSandbox, type Protection, TRIED_CALLS } from '../../sandbox/assurances.ts';
import { diskSizesFor } from '../../sandbox/disk-sizes.ts';
import type { SandboxProfile } from '../../sandbox/engine.ts';
import { isGvisor, MIB } from '../hardening/sandbox-limits.ts';
import { SESSION_UIDS } from '../session-users.ts';
import { addressesOf } from './addresses.ts';
import { refusalOf } from './api/answer.ts';
import type { KubernetesClient } from './api/client.ts';
import { podPath } from './api/pod.ts';
import { Watch, type WatchedObject } from './api/watch.ts';
import { comparePod } from './compare-pod.ts';
import { hiddenPaths, LABELS, podName, podOptions } from './pod-spec.ts';
import { parseQuantity } from './quantity.ts';
import type { KubernetesSettings } from './settings.ts';

/**
 * What every container runtime hides in a pod, and where the access of a service account would be: a folder that is not
 * there shows nothing.
 */
const MASKED = [
  ...['/proc/acpi', '/proc/asound', '/proc/kcore', '/proc/keys', '/proc/latency_stats', '/proc/timer_list'],
  ...['/proc/timer_stats', '/proc/sched_debug', '/proc/scsi', '/sys/firmware'],
  ...['/var/run/secrets/kubernetes.io', '/run/secrets/kubernetes.io'],
];

const POLICIES = 'networkpolicies';
const versionSchema = z.object({ gitVersion: z.string(), platform: z.string().optional() });
const objectSchema = z.object({
  metadata: z.object({ name: z.string(), uid: z.string(), resourceVersion: z.string() }),
});
const objectsSchema = z.object({ items: z.array(objectSchema) });
const madeSchema = z.looseObject({ metadata: z.object({ labels: z.record(z.string(), z.string()).default({}) }) });

const KUBELET = 'Set it in the configuration of the kubelets of the nodes that run sandboxes';

/** What to do in a cluster about a protection that is missing. */
const CLUSTER_ADVICE: Partial<Readonly<Record<Protection, string>>> = {
  capabilities: 'Look for a policy or a webhook of the cluster that changes pods.',
  privileges: 'Look for a policy or a webhook of the cluster that changes pods.',
  namespaces:
    'Something in the cluster changes pods, such as a service mesh that adds containers: exempt the namespace of the sandboxes.',
  seccomp: 'Use nodes whose kernel has seccomp, and an image that "glovebox image --kubernetes" built.',
  memory: 'Use nodes whose kubelet enforces limits of memory (enforceNodeAllocatable, control groups).',
  swap: `${KUBELET}: memorySwap.swapBehavior: NoSwap.`,
  pids: `${KUBELET}: podPidsLimit. Or set GLOVEBOX_PIDS to the limit that they have.`,
  cpu: `${KUBELET}: cpuCFSQuota: true.`,
  disks: 'Use Kubernetes 1.30 or newer, whose volumes in memory have the size that is asked for.',
  inodes: 'The memory of a sandbox bounds its files.',
  writable: 'Use an image that "glovebox image --kubernetes" built, and a container runtime without mounts of its own.',
  masks: 'Use containerd or CRI-O with their default masked paths.',
  network:
    'Apply a NetworkPolicy that allows sandboxes nothing, as the Helm chart has it, and use a network that enforces it for pods, nodes and the API server alike (Calico and Cilium do); or a RuntimeClass without a network, such as gVisor with network=none.',
  resolver: 'Look for a policy or a webhook of the cluster that changes the DNS settings of pods.',
  'oom-group': `${KUBELET}: singleProcessOOMKill: true (Kubernetes 1.32 or newer). Without it, a session loses its contexts and what no checkpoint has when its code takes too much memory.`,
};

export interface ClusterOptions {
  readonly client: KubernetesClient;
  readonly settings: KubernetesSettings;
  readonly profile: SandboxProfile;
  readonly log: Log;
}

/** The assurances of a cluster for its sandboxes. */
export function kubernetesAssurances(options: ClusterOptions): Assurances<SandboxProfile> {
  const { client, settings } = options;
  const { service } = settings.hostEnvironment.kubernetes;
  return {
    expect: (probed) => expectPod(probed, settings),
    inspect: async (ref, probed) => {
      const made = await client.request('GET', podPath(client.namespace, nameOf(ref)), { schema: madeSchema });
      const uid = Number(made.metadata.labels[LABELS.uid] ?? SESSION_UIDS.first);
      return comparePod(arbitraryPod(probed, settings, uid), made);
    },
    addresses: (ref) => addressesOf({ client, service }, nameOf(ref)),
    advice: CLUSTER_ADVICE,
    fingerprint: () => fingerprintOf(options),
    watch: (onChange, signal) => watchPolicies(options, onChange, signal),
  };
}

/** A pod as all sandboxes of that profile have it. */
export function arbitraryPod(
  profile: SandboxProfile,
  settings: KubernetesSettings,
  uid: number = SESSION_UIDS.first,
): ReturnType<typeof podOptions> {
  return podOptions({ ...profile, key: 'any', instance: 'any', uid }, settings);
}

/** What must hold, taken from the pod itself. */
export function expectPod(profile: SandboxProfile, settings: KubernetesSettings): ExpectedSandbox {
  const [container] = arbitraryPod(profile, settings).spec.containers;
  const { workspaceMb, tmpMb, shmMb } = diskSizesFor(profile.memoryMb, profile.diskMb);
  const sharesKernel = !isGvisor(profile.runtime);
  // Nobody but its one user is in a pod. No volume takes a limit of files: its memory bounds them.
  const disk = (path: string, sizeMb: number) => ({ path, bytes: sizeMb * MIB, private: false });
  return {
    uids: SESSION_UIDS,
    memoryBytes: parseQuantity(container?.resources.limits.memory ?? ''),
    pids: profile.pids,
    pidsFromAbove: true,
    cpus: profile.cpus,
    refusedCalls: TRIED_CALLS,
    sharesUser: true,
    sharesKernel,
    disks: [
      { ...disk('/workspace', workspaceMb), isFilled: sharesKernel },
      disk('/tmp', tmpMb),
      disk('/dev/shm', shmMb),
    ],
    masked: [...MASKED, ...hiddenPaths(profile)],
    rlimits: limitsIn(container?.command ?? []),
  };
}

/** The limits that the main process is started with, by their names in capitals. */
function limitsIn(command: readonly string[]): Record<string, number> {
  const limits = command.filter((_, at) => command[at - 1] === '--limit').map((limit) => limit.split('='));
  return Object.fromEntries(limits.map(([name = '', value]) => [name.toUpperCase(), Number(value)]));
}

/** Name of a sandbox's pod. Its ref begins with its key. */
function nameOf(ref: string): string {
  return podName(ref.split('/')[0] ?? '');
}

/**
 * The cluster, its version, the pods of sandboxes, and the network policies of their namespace, where those may be read.
 * What differs from node to node is not among it.
 */
async function fingerprintOf({ client, settings, profile }: ClusterOptions): Promise<string> {
  const [version, policies] = await Promise.all([
    client.request('GET', '/version', { schema: versionSchema }),
    listPolicies(client),
  ]);
  const versions = policies?.map(({ metadata: { uid, resourceVersion } }) => [uid, resourceVersion]).sort();
  const parts = [client.access.server.href, client.namespace, version, arbitraryPod(profile, settings), versions];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

function policiesPath(client: KubernetesClient): string {
  return `/apis/networking.k8s.io/v1/namespaces/${encodeURIComponent(client.namespace)}/${POLICIES}`;
}

/** Undefined if they may not be read. */
async function listPolicies(client: KubernetesClient): Promise<readonly WatchedObject[] | undefined> {
  try {
    return (await client.request('GET', policiesPath(client), { schema: objectsSchema })).items;
  } catch (error) {
    if (refusalOf(error)?.statusCode !== 403) throw error;
    return undefined;
  }
}

/** Without the right to watch them, a failure of the cluster, or a lost sandbox, is the sign to look again. */
async function watchPolicies(
  { client, log }: ClusterOptions,
  onChange: () => void,
  signal: AbortSignal,
): Promise<boolean> {
  const watching = await Watch.start(client, { path: policiesPath(client), schema: objectSchema, log }).catch(
    (error: unknown) => {
      if (refusalOf(error)?.statusCode !== 403) throw error;
      return undefined;
    },
  );
  if (!watching) return false;
  const stop = () => watching[Symbol.dispose]();
  signal.addEventListener('abort', stop, { once: true });
  watching.onChange(() => {
    stop();
    signal.removeEventListener('abort', stop);
    onChange();
  });
  return true;
}
