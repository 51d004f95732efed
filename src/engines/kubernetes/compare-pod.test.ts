import { describe, expect, test } from 'vitest';
import { assertAsAsked, comparePod } from './compare-pod.ts';
import { parseQuantity } from './quantity.ts';

const ASKED = {
  spec: {
    automountServiceAccountToken: false,
    dnsPolicy: 'None',
    hostname: 'sandbox',
    securityContext: { runAsUser: 10_007, runAsGroup: 10_007 },
    containers: [
      {
        name: 'sandbox',
        image: 'registry.example/sandbox:1',
        command: ['/opt/glovebox/hold'],
        resources: { limits: { memory: '1024Mi', cpu: '1000m' }, requests: { memory: '256Mi' } },
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
        volumeMounts: [{ name: 'workspace', mountPath: '/workspace' }],
      },
    ],
    volumes: [{ name: 'workspace', emptyDir: { medium: 'Memory', sizeLimit: '512Mi' } }],
  },
};

type Spec = Record<string, unknown>;

/** The pod as a server tells it: in its own notation, with defaults. */
function made(spec: Spec = {}, container: Spec = {}): unknown {
  const [asked] = ASKED.spec.containers;
  const resources = { limits: { memory: '1Gi', cpu: '1' }, requests: { memory: '256Mi', cpu: '100m' } };
  return {
    metadata: { uid: 'u' },
    spec: {
      ...ASKED.spec,
      containers: [{ ...asked, imagePullPolicy: 'IfNotPresent', resources, ...container }],
      ...{ schedulerName: 'default-scheduler', serviceAccountName: 'default', tolerations: [{ key: 'a' }] },
      ...spec,
    },
  };
}

const missing = (pod: unknown) => comparePod(ASKED, pod).map(({ name }) => name);

test('a pod as it was asked for, with what a server fills in, lacks nothing', () => {
  expect(comparePod(ASKED, made())).toEqual([]);
  expect(comparePod(ASKED, made({ nodeName: 'n1' }, { image: 'mirror.example/sandbox:1' }))).toEqual([]);
});

describe('a pod that the cluster has changed', () => {
  const [container] = ASKED.spec.containers;
  test.each([
    ['shares the network of its node', 'network', made({ hostNetwork: true })],
    ['sees the processes of its node', 'namespaces', made({ hostPID: true })],
    ['has a second container', 'namespaces', made({ containers: [container, { name: 'proxy' }] })],
    ['has a container before it', 'namespaces', made({ initContainers: [{ name: 'setup' }] })],
    ['has another disk', 'disks', made({ volumes: [...ASKED.spec.volumes, { name: 'token', projected: {} }] })],
    [
      'has a disk of another kind',
      'disks',
      made({ volumes: [{ name: 'workspace', emptyDir: { sizeLimit: '512Mi' } }] }),
    ],
    ['has more memory', 'memory', made({}, { resources: { limits: { memory: '2Gi', cpu: '1' } } })],
    ['has no limits', 'memory', made({}, { resources: {} })],
    ['may gain privileges', 'privileges', made({}, { securityContext: { capabilities: { drop: ['ALL'] } } })],
    ['has a token', 'namespaces', made({ automountServiceAccountToken: true })],
    ['asks the name server of the cluster', 'resolver', made({ dnsPolicy: 'ClusterFirst' })],
    ['has another user', 'user', made({ securityContext: { runAsUser: 0, runAsGroup: 10_007 } })],
    ['starts something else', 'main-process', made({}, { command: ['/bin/sh'] })],
  ])('so that it %s lacks "%s"', (_what, name, pod) => {
    expect(missing(pod)).toContain(name);
  });

  test('is told with the field and its value', () => {
    expect(comparePod(ASKED, made({ hostNetwork: true }))).toEqual([
      { name: 'network', found: 'the API server says that hostNetwork is true' },
    ]);
  });
});

test('a pod is refused for what it lacks, unless that may be missing', () => {
  const pod = made({ hostNetwork: true, hostPID: true });
  expect(() => assertAsAsked(ASKED, made(), [])).not.toThrow();
  expect(() => assertAsAsked(ASKED, pod, ['network', 'namespaces'])).not.toThrow();
  expect(() => assertAsAsked(ASKED, pod, ['network'])).toThrow(
    expect.objectContaining({
      code: 'engine_unavailable',
      message: 'The cluster has changed the pod of a sandbox: namespaces (the API server says that hostPID is true).',
      hint: expect.stringContaining('GLOVEBOX_ALLOW_MISSING=namespaces'),
    }),
  );
});

test('a pod that is not told lacks all that only the server can tell', () => {
  expect(missing('')).toEqual(['namespaces']);
});

test.each([
  ['512Mi', 512 * 2 ** 20],
  ['1Gi', 2 ** 30],
  ['250m', 0.25],
  ['1.5', 1.5],
  ['2e3', 2000],
  ['1E', 1e18],
  ['much', Number.NaN],
])('the quantity %s is %d', (text, value) => {
  expect(parseQuantity(text)).toBe(value);
});
