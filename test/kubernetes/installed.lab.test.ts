import { randomBytes } from 'node:crypto';
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
import { runCommand } from '../support/command.ts';
import { Counting } from '../support/counting.ts';
import { CHART, expectPart, followLogs, runPart } from '../support/helm.ts';
import { callTool, runPython } from '../support/rest-client.ts';
import { runCli } from '../support/server.ts';
import { CREDENTIALS, openStorage, type Storage } from '../support/storage.ts';

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

const settings = [
  ...['sandboxes.namespace=chart-sandboxes', `sandboxes.image=${image}`, 'image.pullPolicy=Never'],
  ...['hostNetwork=true', 'settings.memory_mb=512', 'settings.pool_size=1'],
];

let lab: Lab;
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

/** Installs the chart, and takes its key. */
async function install(...values: readonly string[]): Promise<void> {
  const set = [...settings, ...values].flatMap((setting) => ['--set', setting]);
  await expectPart('helm', 'install', 'glovebox', CHART, '--namespace', CONTROL, ...set);
  const path = '--output=jsonpath={.data.key}';
  const secret = await kubectl('--namespace', CONTROL, 'get', 'secret', 'glovebox-keys', path);
  key = Buffer.from(secret, 'base64').toString();
}

/** Removes the release, if there is one, and waits until its namespace of sandboxes is gone. */
async function uninstall(): Promise<void> {
  await expectPart('helm', 'uninstall', 'glovebox', '--namespace', CONTROL, '--wait', '--ignore-not-found');
  const wait = ['wait', '--for=delete', `namespace/${SANDBOXES}`, '--timeout=100s'];
  expect((await runPart('kubectl', ...wait)).stderr).toMatch(/^(|.*not found.*)\s*$/);
}

/** Waits for the control planes, and finds out where the first one is. */
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
  const found = Lab.find(clusters?.[0]?.cluster?.server ?? '');
  if (!found) throw new Error('This is for a lab: unset KUBECONFIG.');
  lab = found;
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
  await install('state.existingClaim=state');
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
  const change = ['--reset-then-reuse-values', '--set', 'settings.log_level=debug'];
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
  await uninstall();
  expect(await kubectl('get', 'pods', '--namespace', SANDBOXES, '--output=name')).toBe('');
  expect(await kubectl('get', 'pvc', '--namespace', CONTROL, '--output=name')).toBe('persistentvolumeclaim/state\n');
});

describe('of several servers that share their sessions', () => {
  const WORK = { session_id: 'work', context: 'main' };
  const PATIENT = { timeout: 60_000 };
  const place = ['--namespace', CONTROL];
  const secretsFolder = mkdtempSync(join(inject('stateRoot'), 'secrets-'));
  let storage: Storage;
  let servers: { name: string; url: string }[];

  beforeAll(async () => {
    await uninstall();
    storage = await openStorage({ host: lab.layout.hostAddress });
    const { accessKeyId, secretAccessKey } = CREDENTIALS;
    const credentials = `[default]\naws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n`;
    const contents = { credentials, 'archives.key': randomBytes(32).toString('base64') };
    const literals = Object.entries(contents).map(([name, value]) => `--from-literal=${name}=${value}`);
    await kubectl(...place, 'create', 'secret', 'generic', 'storage', ...literals);
    await applySecret('FIRST');
    await install(
      ...['replicas=2', 'settings.state=cluster', 'state.persistent=false', 'podDisruptionBudget.enabled=true'],
      ...['archives.bucket=archives', 'archives.prefix=chart', `archives.endpoint=${storage.endpoint}`],
      ...['archives.existingSecret=storage', 'archives.keySecret=storage'],
      ...['auditLog.enabled=true', 'auditLog.toStdout=true', 'secrets.existingSecret=ours'],
    );
    await untilServing();
    const columns = '--output=jsonpath={range .items[*]}{.metadata.name} {.status.podIP}{"\\n"}{end}';
    const pods = await kubectl(...place, 'get', 'pods', '--selector', 'app.kubernetes.io/name=glovebox', columns);
    servers = [...pods.matchAll(/^(\S+) (\S+)$/gm)].map(([, name = '', ip]) => ({ name, url: `http://${ip}:8000` }));
  });
  afterAll(async () => {
    // First, since they keep archives there until they have ended.
    await uninstall();
    await storage?.[Symbol.asyncDispose]();
  });

  const run = async (server: { url: string }, code: string) => await runPython(server, code, WORK, withKey());
  const both = () => {
    const [first, second, ...others] = servers;
    if (!first || !second || others.length > 0) throw new Error(`There are ${servers.length} servers.`);
    return [first, second] as const;
  };

  /** Adds a secret to the files of this machine, and makes them the Secret that is mounted. */
  async function applySecret(name: string): Promise<void> {
    const [json, key] = ['secrets.json', 'secrets.key'].map((file) => join(secretsFolder, file));
    const env = { ...process.env, GLOVEBOX_SECRETS_FILE: json, GLOVEBOX_SECRETS_KEY_FILE: key };
    expect(await runCommand(['secret', 'set', name], { env, stdin: 'a-long-value' })).toMatchObject({ code: 0 });
    const files = [json, key].map((file) => `--from-file=${file}`);
    const made = ['create', 'secret', 'generic', 'ours', ...files, '--dry-run=client', '--output=json'];
    await kubectl('apply', '--filename', inFile(JSON.parse(await kubectl(...place, ...made))));
  }

  /** Runs `glovebox secret` in the pod of each server. */
  async function secretInPods(...args: readonly string[]) {
    const command = ['--container=control-plane', '--', 'glovebox', 'secret', ...args];
    return await Promise.all(both().map(({ name }) => runPart('kubectl', ...place, 'exec', name, ...command)));
  }

  /** Asks for the eviction of a pod, as a drain of its node does. */
  async function evict({ name }: { name: string }): Promise<string> {
    const metadata = { name, namespace: CONTROL };
    const file = inFile({ apiVersion: 'policy/v1', kind: 'Eviction', metadata });
    const path = `/api/v1/namespaces/${CONTROL}/pods/${name}/eviction`;
    const { code, stderr } = await runPart('kubectl', 'create', '--raw', path, '--filename', file);
    return code === 0 ? 'evicted' : stderr;
  }

  test('each node has one, and one answers for a session that another one holds', async () => {
    expect(servers.map((server) => server.url).toSorted()).toEqual(
      (['node1', 'node2'] as const).map((node) => `http://${lab.layout.nodeAddress(node)}:8000`),
    );
    const holder = () =>
      kubectl('-n', SANDBOXES, 'get', 'sessions.glovebox.dev', '--output=jsonpath={.items[*].spec.holder}');
    const [first, second] = both();
    await run(first, 'x = 6');
    const held = await holder();
    expect(held).toMatch(/^\S+$/);
    expect((await run(second, 'print(x * 7)')).stdout).toBe('42\n');
    expect(await holder()).toBe(held);
  });

  test('what one has kept in the bucket, encrypted, another one begins a session from', async () => {
    const [first, second] = both();
    await run(first, 'open("kept.txt", "w").write("of the first")');
    const { session_id } = WORK;
    const kept = (await callTool(first, 'snapshot_session', { session_id }, withKey())) as { snapshot_id: string };
    const named = { snapshot_id: kept.snapshot_id, name: 'fork' };
    await callTool(second, 'fork_session', named, withKey());
    const { stdout } = await runPython(second, 'print(open("kept.txt").read())', { session_id: 'fork' }, withKey());
    expect([stdout, storage.holds('of the first')]).toEqual(['of the first\n', false]);
  });

  test('each has the secrets of the file that is mounted, also once that has changed, and changes none itself', async () => {
    /** The kubelet looks at a pod that changes, and at each within about a minute. */
    const listed = async () => {
      const look = ['annotate', 'pods', '--selector', 'app.kubernetes.io/name=glovebox', '--overwrite'];
      await kubectl(...place, ...look, `test/look=${randomBytes(4).toString('hex')}`);
      return (await secretInPods('list')).map(({ stdout }) => stdout.match(/[A-Z]+(?= +\(shared\))/g));
    };
    expect(await listed()).toEqual([['FIRST'], ['FIRST']]);
    for (const { code, stderr } of await secretInPods('set', 'OTHER'))
      expect([code, stderr]).toEqual([1, expect.stringContaining('mounted read-only')]);
    await applySecret('SECOND');
    const all = ['FIRST', 'SECOND'];
    await expect.poll(listed, PATIENT).toEqual([all, all]);
  });

  test('one is evicted at a time, its sessions go on at another one, and its audit log is whole', async () => {
    const [first, second] = both();
    const log = followLogs([...place, first.name, '--container', 'audit-log'], (line) =>
      line.includes('"event":"stop"'),
    );
    await expect.poll(() => evict(first), PATIENT).toBe('evicted');
    expect(await evict(second)).toContain('disruption budget');
    await kubectl(...place, 'wait', '--for=delete', `pod/${first.name}`, '--timeout=60s');
    const { stdout, session_reset: reset } = await run(second, 'print(x * 7)');
    expect([stdout, reset]).toEqual(['42\n', undefined]);
    const file = join(mkdtempSync(join(inject('stateRoot'), 'audit-')), 'audit.jsonl');
    writeFileSync(file, await log);
    expect((await runCli(['audit', 'verify', file], process.env)).stdout).toContain('are as they were written');
  });

  test('an upgrade replaces one after the other, and no answer is lost', async () => {
    await untilServing();
    const count = new Counting(servers, 'count', withKey().headers);
    const goOn = async () => {
      const before = count.answered;
      await expect.poll(() => count.answered, PATIENT).toBeGreaterThan(before + 5);
    };
    try {
      await goOn();
      const change = ['--reset-then-reuse-values', '--set', 'settings.log_level=debug'];
      await expectPart('helm', 'upgrade', 'glovebox', CHART, '--namespace', CONTROL, ...change);
      await untilServing();
      await goOn();
    } finally {
      await count.end();
    }
    expect(count.violations).toEqual([]);
    for (const server of servers) expect((await run(server, 'print(x * 7)')).stdout).toBe('42\n');
  });
});

const secure = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
} as const;
const own = { runAsNonRoot: true, runAsUser: 10_000, seccompProfile: { type: 'RuntimeDefault' } } as const;
