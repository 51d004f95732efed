import { describe, expect, test } from 'vitest';
import { GloveboxError } from '../../errors.ts';
import { largestDiskMb } from '../../sandbox/disk-sizes.ts';
import type { SpecWithUser } from '../hardening/sandbox-limits.ts';
import {
  CONTAINER_NAME,
  COUNT_COMMAND,
  END_COMMAND,
  LABELS,
  MISSING_COMMAND,
  type PodSettings,
  podName,
  podOptions,
  runCommand,
} from './pod-spec.ts';

const MIB = 2 ** 20;

const spec: SpecWithUser = {
  key: 'k3y',
  instance: 'http_8000',
  uid: 12_345,
  image: 'registry.example/glovebox-sandbox:1',
  memoryMb: 1024,
  cpus: 1.5,
  pids: 128,
  diskMb: 512,
  maxLifetimeS: 86_400,
};

const settings: PodSettings = {
  kubernetesNodeSelector: [],
  kubernetesTolerations: [],
  kubernetesCpuRequest: 0.15,
  kubernetesMemoryRequestMb: 256,
  kubernetesSeccomp: 'runtime',
  kubernetesUserNamespaces: 0,
  kubernetesNodeLostS: 60,
};

function pod(change: Partial<SpecWithUser> = {}, set: Partial<PodSettings> = {}) {
  return podOptions({ ...spec, ...change }, { ...settings, ...set });
}

function container(change: Partial<SpecWithUser> = {}, set: Partial<PodSettings> = {}) {
  const [only, ...more] = pod(change, set).spec.containers;
  expect(more).toEqual([]);
  if (only === undefined) throw new Error('there is no container');
  return only;
}

/** What process 1 keeps for the runner: limits by their names, and the filter. */
function held(change: Partial<SpecWithUser> = {}, set: Partial<PodSettings> = {}): Record<string, string> {
  const words = container(change, set).command.slice(2);
  const pairs = words.flatMap((word, at) => {
    const next = words[at + 1] ?? '';
    return word === '--limit' ? [next.split('=')] : word === '--filter' ? [['filter', next]] : [];
  });
  return Object.fromEntries(pairs);
}

function label(change: Partial<SpecWithUser> = {}, set: Partial<PodSettings> = {}): unknown {
  return pod(change, set).metadata.labels[LABELS.profile];
}

function refusal(change: Partial<SpecWithUser>): GloveboxError {
  try {
    pod(change);
  } catch (thrown) {
    if (thrown instanceof GloveboxError) return thrown;
    throw thrown;
  }
  throw new Error('it was accepted');
}

describe('whose it is', () => {
  test('name, labels and annotation say so, and nothing of the session', () => {
    expect(pod().metadata).toEqual({
      name: 'glovebox-k3y',
      labels: {
        'app.kubernetes.io/name': 'glovebox-sandbox',
        'app.kubernetes.io/managed-by': 'glovebox',
        'glovebox.key': 'k3y',
        'glovebox.uid': '12345',
        'glovebox.profile': expect.stringMatching(/^[0-9a-f]{16}$/),
      },
      annotations: { 'glovebox.instance': 'http_8000', 'glovebox.adopted': '0' },
    });
  });

  test('the profile label is shared by sandboxes that differ only in whose they are', () => {
    expect(label({ key: 'other', uid: 20_000, instance: 'stdio-1' })).toBe(label());
    expect(label({ memoryMb: 2048 })).not.toBe(label());
    expect(label({ pids: 64 })).not.toBe(label());
    expect(label({ image: 'glovebox:def' })).not.toBe(label());
    expect(label({ runtime: 'gvisor' })).not.toBe(label());
    expect(label({}, { kubernetesSeccomp: 'glovebox.json' })).not.toBe(label());
    expect(label({}, { kubernetesUserNamespaces: 1 })).not.toBe(label());
  });

  test.each(['', 'a_b', 'A', 'a-', 'a'.repeat(55)])('a key %j, of which no name can be made, is refused', (key) => {
    expect(() => podName(key)).toThrow(GloveboxError);
  });
});

describe('the pod', () => {
  test.each([
    ['restartPolicy', 'Never'],
    ['activeDeadlineSeconds', 86_400],
    ['terminationGracePeriodSeconds', 1],
    ['automountServiceAccountToken', false],
    ['enableServiceLinks', false],
    ['hostname', 'sandbox'],
    ['dnsPolicy', 'None'],
    ['dnsConfig', { nameservers: ['127.0.0.1'] }],
    ['nodeSelector', { 'kubernetes.io/os': 'linux' }],
    [
      'securityContext',
      {
        ...{ runAsNonRoot: true, runAsUser: 12_345, runAsGroup: 12_345 },
        seccompProfile: { type: 'RuntimeDefault' },
      },
    ],
  ])('%s is %j', (field, value) => {
    expect(pod().spec).toHaveProperty(field, value);
  });

  test.each(
    `hostNetwork hostPID hostIPC hostUsers shareProcessNamespace initContainers ephemeralContainers hostAliases
     serviceAccountName runtimeClassName imagePullSecrets priorityClassName nodeName resourceClaims
     setHostnameAsFQDN`.split(/\s+/),
  )('%s is not given unless a setting asks for it', (field) => {
    expect(pod().spec).not.toHaveProperty(field);
  });

  test('its disks are in memory, and of the sizes that Docker would give them', () => {
    const emptyDir = (sizeLimit: string) => ({ medium: 'Memory', sizeLimit });
    expect(pod().spec.volumes).toEqual([
      { name: 'workspace', emptyDir: emptyDir('512Mi') },
      { name: 'tmp', emptyDir: emptyDir('128Mi') },
      { name: 'shm', emptyDir: emptyDir('64Mi') },
      { name: 'nothing', emptyDir: emptyDir('1Mi') },
    ]);
    expect(container().volumeMounts).toEqual([
      { name: 'workspace', mountPath: '/workspace' },
      { name: 'tmp', mountPath: '/tmp' },
      { name: 'shm', mountPath: '/dev/shm' },
      ...['/dev/mqueue', '/sys/kernel', '/sys/module'].map((mountPath) => ({
        ...{ name: 'nothing', mountPath, readOnly: true },
      })),
    ]);
  });

  test('it leaves a node that does not answer when its sandboxes count as lost', () => {
    const until = (tolerationSeconds: number) =>
      ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'].map((key) => ({
        ...{ key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds },
      }));
    expect(pod().spec.tolerations).toEqual(until(60));
    expect(pod({}, { kubernetesNodeLostS: 600 }).spec.tolerations).toEqual(until(600));
  });
});

describe('its container', () => {
  test.each([
    ['name', CONTAINER_NAME],
    ['image', 'registry.example/glovebox-sandbox:1'],
    ['imagePullPolicy', 'IfNotPresent'],
    ['workingDir', '/'],
    ['terminationMessagePath', '/root/none'],
    ['terminationMessagePolicy', 'File'],
    [
      'securityContext',
      {
        ...{ privileged: false, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true },
        capabilities: { drop: ['ALL'] },
      },
    ],
  ])('%s is %j', (field, value) => {
    expect(container()).toHaveProperty(field, value);
  });

  test.each(
    `args env envFrom ports lifecycle livenessProbe readinessProbe startupProbe stdin tty volumeDevices
     resizePolicy`.split(/\s+/),
  )('%s is never given', (field) => {
    expect(container()).not.toHaveProperty(field);
    expect(container({ runtime: 'gvisor' }, { kubernetesUserNamespaces: 1 })).not.toHaveProperty(field);
  });

  test('it may use its limits, and the scheduler reserves what the settings say, but never more', () => {
    expect(container().resources).toEqual({
      limits: { cpu: '1500m', memory: '1024Mi', 'ephemeral-storage': '16Mi' },
      requests: { cpu: '150m', memory: '256Mi', 'ephemeral-storage': '16Mi' },
    });
    const small = { cpus: 0.01, memoryMb: 128, diskMb: 16 };
    expect(container(small).resources.requests).toMatchObject({ cpu: '10m', memory: '128Mi' });
    expect(container({}, { kubernetesCpuRequest: 0.0001 }).resources.requests.cpu).toBe('1m');
  });

  test('process 1 keeps the limits that a pod has no fields for, that of processes among them', () => {
    expect(container().command.slice(0, 2)).toEqual(['/opt/glovebox/hold', 'hold']);
    expect(held()).toEqual({
      nofile: '1024',
      core: '0',
      fsize: String(512 * MIB),
      data: String(8 * 1024 * MIB + 128 * 8 * MIB),
      nproc: '128',
      filter: 'host',
    });
    expect(held({ pids: 64, memoryMb: 64, diskMb: 16 })).toMatchObject({
      data: String(4096 * MIB + 64 * 8 * MIB),
      fsize: String(256 * MIB),
      nproc: '64',
    });
  });
});

describe('what settings change', () => {
  test('a profile of the nodes takes the place of both filters', () => {
    const set = { kubernetesSeccomp: 'profiles/glovebox.json' };
    expect(pod({}, set).spec.securityContext.seccompProfile).toEqual({
      type: 'Localhost',
      localhostProfile: 'profiles/glovebox.json',
    });
    expect(held({}, set)['filter']).toBe('none');
  });

  test('in a user namespace, where sandboxes share what the kernel counts for its owner, they can use up none of it', () => {
    const set = { kubernetesUserNamespaces: 1 };
    expect(pod({}, set).spec).toHaveProperty('hostUsers', false);
    expect(held({}, set)).toEqual({ ...held(), sigpending: '256', filter: 'remapped' });
  });

  test.each(['gvisor', 'runsc-kvm'])('the RuntimeClass %s gets room for its own kernel, and no filter', (runtime) => {
    const change = { runtime, memoryMb: 256, diskMb: 64 };
    expect(pod(change).spec).toMatchObject({ runtimeClassName: runtime });
    expect(container(change).resources.limits.memory).toBe('1024Mi');
    expect(held(change)['filter']).toBe('none');
    expect(pod(change).spec.securityContext.seccompProfile).toEqual({ type: 'RuntimeDefault' });
  });

  test('any other RuntimeClass keeps both filters and the memory that was asked for', () => {
    expect(pod({ runtime: 'kata' }).spec).toMatchObject({ runtimeClassName: 'kata' });
    expect(container({ runtime: 'kata' })).toEqual(container());
  });

  test('nodes, taints and the secret of the registry are those that are named', () => {
    const { spec: made } = pod(
      {},
      {
        kubernetesNodeSelector: ['example.com/pool=sandboxes', 'disk='],
        kubernetesTolerations: ['a=b:NoSchedule', 'example.com/c:NoExecute', 'd=:PreferNoSchedule'],
        kubernetesPullSecret: 'registry',
      },
    );
    expect(made.nodeSelector).toEqual({ 'kubernetes.io/os': 'linux', 'example.com/pool': 'sandboxes', disk: '' });
    expect(made.tolerations.slice(0, 3)).toEqual([
      { key: 'a', operator: 'Equal', value: 'b', effect: 'NoSchedule' },
      { key: 'example.com/c', operator: 'Exists', effect: 'NoExecute' },
      { key: 'd', operator: 'Equal', value: '', effect: 'PreferNoSchedule' },
    ]);
    expect(made).toHaveProperty('imagePullSecrets', [{ name: 'registry' }]);
  });
});

test('a workspace that memory cannot hold is refused', () => {
  expect(refusal({ memoryMb: 512, diskMb: 512 }).code).toBe('invalid_input');
  expect(() => pod({ memoryMb: 512, diskMb: largestDiskMb(512) })).not.toThrow();
});

test.each([
  { memoryMb: 63, diskMb: 1 },
  { memoryMb: Number.POSITIVE_INFINITY },
  { diskMb: 0 },
  { pids: 0 },
  { cpus: 0 },
  { cpus: Number.NaN },
  { maxLifetimeS: 0 },
  { uid: 0 },
  { uid: 1000 },
  { uid: 65_532 },
  { key: '../x' },
  { key: 'UPPER' },
] satisfies Partial<SpecWithUser>[])('%j is refused', (change) => {
  expect(refusal(change).code).toBe('invalid_input');
});

test('each program that is started in a sandbox is that of process 1, which code can neither trace nor change', () => {
  for (const [program] of [runCommand(), END_COMMAND, COUNT_COMMAND]) expect(program).toBe('/opt/glovebox/hold');
  expect(runCommand().slice(1, 7)).toEqual(['run', '--env', 'HOME=/workspace', '--', 'python3', '-I']);
  expect(runCommand().slice(-2)).toEqual(['/opt/glovebox/runner', 'glovebox-runner']);
  expect(runCommand({ generation: 3 }).slice(-2)).toEqual(['glovebox-runner', '3']);
  expect(MISSING_COMMAND).toEqual(['/opt/glovebox/missing']);
});
