import { chownSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { parse } from 'yaml';
import { openMachineEngine } from '../../scripts/engines/images.ts';
import { Lab } from '../../scripts/kubernetes/lab.ts';
import { loadConfig } from '../../src/config/load.ts';
import { buildControlImage } from '../../src/engines/docker/images/control-image.ts';
import { arbitraryPod } from '../../src/engines/kubernetes/assurances.ts';
import { version } from '../../src/version.ts';
import { CHART, expectPart, runPart } from '../support/helm.ts';
import { runPython } from '../support/rest-client.ts';

const BUILD_LIMIT_MS = 20 * 60_000;
/** User of the control plane's image. */
const USER = 65_532;
const CONTROL = 'chart';
const SANDBOXES = 'chart-sandboxes';
const ACCOUNT = `system:serviceaccount:${CONTROL}:glovebox`;
const report = (line: string) => void process.stderr.write(`${line}\n`);

const kubeconfig = process.env['KUBECONFIG'] ?? '';
const image = process.env['GLOVEBOX_IMAGE'] ?? '';
const kubectl = async (...args: string[]) => await expectPart('kubectl', ...args);
/** As the control plane, whose rights are tried. */
const asControlPlane = async (...args: string[]) =>
  await runPart('kubectl', '--as', ACCOUNT, '--namespace', SANDBOXES, ...args);

const settings = ['sandboxes.namespace=chart-sandboxes', `sandboxes.image=${image}`, 'image.pullPolicy=Never'].concat([
  ...['hostNetwork=true', 'state.existingClaim=state', 'settings.memory_mb=512', 'settings.pool_size=1'],
]);

let url: string;
let key: string;

/** A volume as a cluster with storage would make it: the lab has none, so a folder of this machine. */
async function createVolume(): Promise<void> {
  const folder = mkdtempSync(join(inject('stateRoot'), 'volume-'));
  chownSync(folder, USER, USER);
  const spec = { accessModes: ['ReadWriteOnce'], storageClassName: '' };
  const objects = [
    {
      ...{ apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name: 'chart-state' } },
      spec: { ...spec, capacity: { storage: '1Gi' }, hostPath: { path: folder, type: 'Directory' } },
    },
    {
      ...{ apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name: 'state', namespace: CONTROL } },
      spec: { ...spec, volumeName: 'chart-state', resources: { requests: { storage: '1Gi' } } },
    },
  ];
  await kubectl('create', '--filename', inFile({ apiVersion: 'v1', kind: 'List', items: objects }));
}

/** Path of a file with an object. */
function inFile(object: object): string {
  const file = join(mkdtempSync(join(inject('stateRoot'), 'object-')), 'object.json');
  writeFileSync(file, JSON.stringify(object));
  return file;
}

/** Waits for the control plane, and finds out where it is. */
async function untilServing(): Promise<void> {
  const place = ['--namespace', CONTROL];
  const { code, stderr } = await runPart(
    'kubectl',
    ...place,
    'rollout',
    'status',
    'deployment/glovebox',
    '--timeout=110s',
  );
  if (code !== 0) throw new Error(`${stderr}${await kubectl(...place, 'logs', 'deployment/glovebox', '--tail=50')}`);
  const selector = ['--selector', 'app.kubernetes.io/name=glovebox', '--output', 'jsonpath={.items[0].status.podIP}'];
  url = `http://${await kubectl(...place, 'get', 'pods', ...selector)}:8000`;
}

const withKey = () => ({ headers: { authorization: `Bearer ${key}` } });

beforeAll(async () => {
  const { clusters }: { clusters?: { cluster?: { server?: string } }[] } = parse(readFileSync(kubeconfig, 'utf8'));
  const lab = Lab.find(clusters?.[0]?.cluster?.server ?? '');
  if (!lab) throw new Error('This is for a lab: unset KUBECONFIG.');
  await using machine = await openMachineEngine(report, new AbortController().signal);
  const { controlBase: base, hostEnvironment } = loadConfig();
  const { reference } = await buildControlImage(
    machine.docker,
    { base, setup: 'auto', hostEnvironment, version },
    report,
  );
  await lab.importImages(reference);
  await kubectl('create', 'namespace', CONTROL);
  await createVolume();
  const set = settings.flatMap((setting) => ['--set', setting]);
  await expectPart('helm', 'install', 'glovebox', CHART, '--namespace', CONTROL, ...set);
  const secret = await kubectl(
    '--namespace',
    CONTROL,
    'get',
    'secret',
    'glovebox-keys',
    '--output=jsonpath={.data.key}',
  );
  key = Buffer.from(secret, 'base64').toString();
  await untilServing();
}, BUILD_LIMIT_MS);

afterAll(async () => {
  await runPart('helm', 'uninstall', 'glovebox', '--namespace', CONTROL);
  await runPart('kubectl', 'delete', 'namespace', CONTROL, SANDBOXES, '--ignore-not-found');
  await runPart('kubectl', 'delete', 'persistentvolume', 'chart-state', '--ignore-not-found');
});

test('who has the key of the secret runs code, and nobody else', async () => {
  expect((await fetch(`${url}/sessions`)).status).toBe(401);
  const { stdout } = await runPython({ url }, 'print(6 * 7)', {}, withKey());
  expect(stdout).toBe('42\n');
});

test('a monitor that asks at the address of the pod gets metrics', async () => {
  expect(await (await fetch(`${url}/metrics`, withKey())).text()).toContain('glovebox_sessions 1');
});

test('doctor tells of the cluster, as the control plane sees it', async () => {
  const { stdout } = await runPart('kubectl', '-n', CONTROL, 'exec', 'deployment/glovebox', '--', 'glovebox', 'doctor');
  expect(stdout).toContain(`${ACCOUNT} has all that are needed in ${SANDBOXES}`);
  expect(stdout).toContain(`"${SANDBOXES}" enforces "restricted" for pods`);
});

test('an upgrade replaces the control plane, and sessions go on with their variables and their key', async () => {
  const lives = { context: 'main', session_id: 'lives' };
  await runPython({ url }, 'x = 6', lives, withKey());
  const change = ['--reuse-values', '--set', 'settings.log_level=debug'];
  await expectPart('helm', 'upgrade', 'glovebox', CHART, '--namespace', CONTROL, ...change);
  await untilServing();
  const { stdout } = await runPython({ url }, 'print(x * 7)', lives, withKey());
  expect(stdout).toBe('42\n');
});

describe('in the namespace of the sandboxes', () => {
  const config = loadConfig({}, { engine: 'kubernetes', image });
  type Pod = ReturnType<typeof arbitraryPod>;

  /** Has the API server look at a pod as if it were to be made. */
  async function propose(change: (pod: Pod) => object): Promise<string> {
    const file = inFile(change(arbitraryPod({ ...config, image }, config)));
    const options = ['--namespace', SANDBOXES, 'create', '--dry-run=server', '--filename', file, '--output', 'name'];
    const { stdout, stderr } = await runPart('kubectl', ...options);
    return (stdout || stderr).trim();
  }

  const withSpec = (pod: Pod, spec: object) => ({ ...pod, spec: { ...pod.spec, ...spec } });
  const withContainer = (pod: Pod, part: object) =>
    withSpec(pod, { containers: pod.spec.containers.map((container) => ({ ...container, ...part })) });

  const withVolume = (pod: Pod, volume: object) =>
    withSpec(pod, { volumes: [...pod.spec.volumes, { name: 'more', ...volume }] });

  test('a sandbox is let in', async () => {
    expect(await propose((pod) => pod)).toBe('pod/glovebox-any');
  });

  test.each<[string, (pod: Pod) => object, string]>([
    ['another image', (pod) => withContainer(pod, { image: 'other' }), 'the image of a sandbox'],
    ['a token', (pod) => withSpec(pod, { automountServiceAccountToken: true }), 'no token'],
    ['services', (pod) => withSpec(pod, { enableServiceLinks: true }), 'no services'],
    ['the network of the node', (pod) => withSpec(pod, { hostNetwork: true }), 'host namespaces'],
    ['a disk of the node', (pod) => withVolume(pod, { emptyDir: {} }), 'in memory'],
    ['a secret', (pod) => withVolume(pod, { secret: { secretName: 'x' } }), 'in memory'],
    ['no limits', (pod) => withContainer(pod, { resources: {} }), 'has limits'],
    ['root', (pod) => withContainer(pod, { securityContext: { ...secure, runAsUser: 0 } }), 'runAsUser=0'],
    ['a user of others', (pod) => withSpec(pod, { securityContext: { ...own, runAsUser: 999 } }), '10000 to 59999'],
    ['a root to write to', (pod) => withContainer(pod, { securityContext: secure }), 'read-only'],
    ['an environment', (pod) => withContainer(pod, { env: [{ name: 'A', value: 'b' }] }), 'no environment'],
    ['a port', (pod) => withContainer(pod, { ports: [{ containerPort: 80 }] }), 'no ports'],
    ['a message on the node', (pod) => withContainer(pod, { terminationMessagePath: '/tmp/x' }), 'termination message'],
    ['no end', (pod) => withSpec(pod, { activeDeadlineSeconds: null }), 'deadline'],
    ['another main process', (pod) => withContainer(pod, { command: ['sh'] }), 'main process'],
    [
      'a second container',
      (pod) => withSpec(pod, { initContainers: [{ ...pod.spec.containers[0], name: 'b' }] }),
      'one container',
    ],
    ['nodes of the cluster itself', (pod) => withSpec(pod, { tolerations: [{ operator: 'Exists' }] }), 'taints'],
    ['a node of its choice', (pod) => withSpec(pod, { nodeName: 'node1' }), 'scheduler'],
  ])('a pod with %s is refused', async (_, change, reason) => {
    expect(await propose(change)).toContain(reason);
  });

  test('the control plane runs its one program in sandboxes, and people may run others', async () => {
    const [pod = ''] = (
      await kubectl('-n', SANDBOXES, 'get', 'pods', '--output=jsonpath={.items[*].metadata.name}')
    ).split(' ');
    const shell = ['exec', pod, '--', 'sh', '-c', 'echo let in'];
    expect((await asControlPlane('exec', pod, '--', '/opt/glovebox/hold', 'count')).stdout).toMatch(/"left": ?\d/);
    expect((await asControlPlane(...shell)).stderr).toContain('the control plane runs /opt/glovebox/hold only');
    expect(await kubectl('-n', SANDBOXES, ...shell)).toBe('let in\n');
  });

  test.each([
    ['get', 'secrets', SANDBOXES],
    ['create', 'deployments', SANDBOXES],
    ['patch', 'pods', SANDBOXES],
    ['update', 'pods/ephemeralcontainers', SANDBOXES],
    ['get', 'pods', CONTROL],
    ['get', 'secrets', CONTROL],
    ['get', 'nodes', SANDBOXES],
  ])('the control plane may not %s %s in %s', async (verb, resource, namespace) => {
    const { stdout } = await runPart('kubectl', '--as', ACCOUNT, 'auth', 'can-i', verb, resource, '-n', namespace);
    expect(stdout.trim()).toBe('no');
  });
});

test('an uninstall leaves no sandbox, and keeps the volume', async () => {
  await expectPart('helm', 'uninstall', 'glovebox', '--namespace', CONTROL, '--wait');
  const wait = ['wait', '--for=delete', `namespace/${SANDBOXES}`, '--timeout=100s'];
  expect((await runPart('kubectl', ...wait)).stderr).toMatch(/^(|.*not found.*)\s*$/);
  expect(await kubectl('get', 'pods', '--namespace', SANDBOXES, '--output=name')).toBe('');
  expect(await kubectl('get', 'pvc', '--namespace', CONTROL, '--output=name')).toBe('persistentvolumeclaim/state\n');
});

const secure = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
} as const;
const own = { runAsNonRoot: true, runAsUser: 10_000, seccompProfile: { type: 'RuntimeDefault' } } as const;
