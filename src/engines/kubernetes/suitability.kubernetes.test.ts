import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { OwnNamespace } from '../../../test/support/cluster-accounts.ts';
import { installRecords } from '../../../test/support/session-records.ts';
import { loadConfig } from '../../config/load.ts';
import type { Finding } from '../../lib/finding.ts';
import type { SandboxProfile } from '../../sandbox/engine.ts';
import { KubernetesClient } from './api/client.ts';
import { arbitraryPod } from './assurances.ts';
import { assertSuitable, GROUP_RIGHTS, lookAtCluster, RIGHTS } from './suitability.ts';

const ENFORCE = 'pod-security.kubernetes.io/enforce';

let own: OwnNamespace;
let admin: KubernetesClient;

beforeAll(async () => {
  own = await OwnNamespace.create('suitability', 'restricted');
  admin = own.admin;
});
afterAll(() => own[Symbol.asyncDispose]());

/** An account of its own that has these rights, and no others. */
async function clientWith(rights: typeof RIGHTS): Promise<KubernetesClient> {
  const headers = { authorization: `Bearer ${await own.account(rights)}` };
  return new KubernetesClient({ ...own.access, credentials: async () => ({ headers }) });
}

function wanted(change: Partial<SandboxProfile> = {}, isShared = false) {
  const config = loadConfig(undefined, { image: 'registry.example/sandbox:1' });
  const { memoryMb, cpus, pids, diskMb, maxLifetimeS, image } = config;
  const profile = { ...{ memoryMb, cpus, pids, diskMb, maxLifetimeS, image }, ...change };
  return { pod: arbitraryPod(profile, config), runtime: profile.runtime, isShared };
}

/** Level and words of each finding, by what it is about. */
async function look(client: KubernetesClient, change: Partial<SandboxProfile> = {}, isShared = false) {
  const found = await lookAtCluster(client, wanted(change, isShared));
  return Object.fromEntries(found.map(([level, what, ...said]: Finding) => [what, `${level}: ${said.join(' → ')}`]));
}

test('a cluster that can take sandboxes is told as it is', async () => {
  const found = await look(admin);
  expect(found['engine']).toMatch(/^ok: Kubernetes v1\.\d+\.\d+ at https:/);
  expect(found).toMatchObject({
    rights: expect.stringMatching(/^ok: /),
    namespace: `ok: "${own.name}" enforces "restricted" for pods`,
    admission: 'ok: the cluster would admit a sandbox',
  });
  await assertSuitable(admin, wanted());
});

describe('an account', () => {
  test('that has exactly the rights that are needed suffices, though it may not read the namespace', async () => {
    using client = await clientWith(RIGHTS);
    const found = await look(client);
    expect(found['rights']).toMatch(/^ok: system:serviceaccount:.* has all that are needed/);
    expect(found['namespace']).toMatch(/^warn: .*cannot be read.*kubectl get namespace/);
    expect(found['admission']).toMatch(/^ok/);
  });

  test('that lacks rights is told each of them, and how to get them', async () => {
    using client = await clientWith([['pods', ['get', 'list', 'watch', 'create']]]);
    const found = await look(client);
    expect(found['rights']).toMatch(
      /^fail: .* may not delete pods, create pods\/exec, get pods\/exec in the namespace/,
    );
    expect(found['rights']).toMatch(/create rolebinding glovebox --role=glovebox --serviceaccount=[\w-]+:account-\w+$/);
    expect(found['admission']).toBeUndefined();
    await expect(assertSuitable(client, wanted())).rejects.toMatchObject({
      code: 'engine_unavailable',
      message: expect.stringContaining('may not delete pods'),
      hint: expect.stringContaining('kubectl -n'),
    });
  });
});

describe('a cluster whose sandboxes several servers are to share', () => {
  test('suffices with the rights to leases and records, once it knows the latter', async () => {
    await installRecords(admin);
    using client = await clientWith([...RIGHTS, ...GROUP_RIGHTS]);
    expect(await look(client, {}, true)).toMatchObject({
      rights: expect.stringMatching(/^ok: .* has all that are needed/),
      records: 'ok: the cluster knows sessions.glovebox.dev',
    });
  });

  test('is refused without them, with how to get them', async () => {
    using client = await clientWith(RIGHTS);
    const found = await look(client, {}, true);
    expect(found['rights']).toMatch(/^fail: .* may not patch pods, create leases\.coordination\.k8s\.io, /);
    expect(found['rights']).toMatch(
      /--resource=pods,pods\/exec,leases\.coordination\.k8s\.io,sessions\.glovebox\.dev;/,
    );
    expect((await look(client))['rights']).toMatch(/^ok/);
  });
});

describe('a namespace', () => {
  test('that is not there is refused, with how to make it', async () => {
    using client = new KubernetesClient({ ...own.access, namespace: 'nonesuch' });
    expect((await look(client))['namespace']).toMatch(/^fail: there is no "nonesuch".*kubectl create namespace/);
  });

  test.each([
    ['no policy', { [ENFORCE]: null }, 'enforces no policy'],
    ['a weaker policy', { [ENFORCE]: 'baseline' }, 'enforces "baseline"'],
    ['the policy of an old version', { [`${ENFORCE}-version`]: 'v1.25' }, 'as Kubernetes v1.25 knew it'],
  ])('with %s is told, with how to change it', async (_what, labels, said) => {
    await own.label(labels);
    const { namespace } = await look(admin);
    await own.label({ [ENFORCE]: 'restricted', [`${ENFORCE}-version`]: null });
    expect(namespace).toMatch(/^warn: .*kubectl label --overwrite namespace/);
    expect(namespace).toContain(said);
  });

  test('with a quota that no sandbox fits in is told with what is used, and does not end a server', async () => {
    const path = `/api/v1/namespaces/${own.name}/resourcequotas`;
    await own.make(path, { metadata: { name: 'small' }, spec: { hard: { pods: '0' } } });
    await expect.poll(async () => (await look(admin))['quota']).toBe('ok: small: 0 of 0 pods');
    const { admission } = await look(admin);
    await assertSuitable(admin, wanted());
    await own.remove(`${path}/small`);
    expect(admission).toMatch(/^warn: .*quota/);
  });

  test('that does not admit a sandbox is refused with the reason', async () => {
    const path = `/api/v1/namespaces/${own.name}/limitranges`;
    const limits = [{ type: 'Container', max: { memory: '64Mi' } }];
    await own.make(path, { metadata: { name: 'tight' }, spec: { limits } });
    await expect.poll(async () => (await look(admin))['admission']).toMatch(/^fail: .*maximum memory usage/);
    await expect(assertSuitable(admin, wanted())).rejects.toThrow(/maximum memory usage/);
    await own.remove(`${path}/tight`);
  });
});

test('a RuntimeClass that is not there is refused, and one that is there is told', async () => {
  const name = `class-${randomBytes(4).toString('hex')}`;
  expect((await look(admin, { runtime: name }))['runtime']).toMatch(/^fail: .*no RuntimeClass.*GLOVEBOX_RUNTIME/);
  const path = '/apis/node.k8s.io/v1/runtimeclasses';
  await own.make(path, { metadata: { name }, handler: 'runc' });
  const { runtime } = await look(admin, { runtime: name });
  await own.remove(`${path}/${name}`);
  expect(runtime).toBe(`ok: ${name}, handler "runc"`);
});

test('the look makes no pod', async () => {
  await look(admin);
  expect(await own.countPods()).toBe(0);
});
