import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { loadConfig } from '../../config/load.ts';
import type { Finding } from '../../lib/finding.ts';
import { createLog } from '../../log.ts';
import type { SandboxProfile } from '../../sandbox/engine.ts';
import { type ClusterAccess, openAccess } from './api/access.ts';
import { KubernetesClient } from './api/client.ts';
import { podPath } from './api/pod.ts';
import { arbitraryPod } from './assurances.ts';
import { assertSuitable, lookAtCluster, RIGHTS } from './suitability.ts';

const NAMESPACE = `suitability-${randomBytes(4).toString('hex')}`;
const ENFORCE = 'pod-security.kubernetes.io/enforce';
const anything = { schema: z.unknown() };

let access: ClusterAccess;
let admin: KubernetesClient;

beforeAll(async () => {
  const { hostEnvironment } = loadConfig();
  access = await openAccess({ hostEnvironment, namespace: NAMESPACE, log: createLog('error') });
  admin = new KubernetesClient(access);
  await create('/api/v1/namespaces', { metadata: { name: NAMESPACE, labels: { [ENFORCE]: 'restricted' } } });
});
afterAll(async () => {
  await admin.request('DELETE', `/api/v1/namespaces/${NAMESPACE}`, anything);
  admin[Symbol.dispose]();
});

async function create(path: string, body: object): Promise<unknown> {
  return await admin.request('POST', path, { ...anything, body });
}

async function label(labels: Record<string, string | null>): Promise<void> {
  const options = { ...anything, body: { metadata: { labels } }, contentType: 'application/merge-patch+json' };
  await admin.request('PATCH', `/api/v1/namespaces/${NAMESPACE}`, options);
}

/** A service account of its own that has these rights, and no others. */
async function clientWith(
  rights: readonly (readonly [resource: string, verbs: readonly string[]])[],
): Promise<KubernetesClient> {
  const name = `account-${randomBytes(4).toString('hex')}`;
  const within = `/api/v1/namespaces/${NAMESPACE}`;
  const roles = `/apis/rbac.authorization.k8s.io/v1/namespaces/${NAMESPACE}`;
  await create(`${within}/serviceaccounts`, { metadata: { name } });
  const rules = rights.map(([resource, verbs]) => ({ apiGroups: [''], resources: [resource], verbs }));
  await create(`${roles}/roles`, { metadata: { name }, rules });
  await create(`${roles}/rolebindings`, {
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
    subjects: [{ kind: 'ServiceAccount', name, namespace: NAMESPACE }],
  });
  const schema = z.object({ status: z.object({ token: z.string() }) });
  const { status } = await admin.request('POST', `${within}/serviceaccounts/${name}/token`, { schema, body: {} });
  const headers = { authorization: `Bearer ${status.token}` };
  return new KubernetesClient({ ...access, credentials: async () => ({ headers }) });
}

function wanted(change: Partial<SandboxProfile> = {}) {
  const config = loadConfig(undefined, { image: 'registry.example/sandbox:1' });
  const { memoryMb, cpus, pids, diskMb, maxLifetimeS, image } = config;
  const profile = { ...{ memoryMb, cpus, pids, diskMb, maxLifetimeS, image }, ...change };
  return { pod: arbitraryPod(profile, config), runtime: profile.runtime };
}

/** Level and words of each finding, by what it is about. */
async function look(client: KubernetesClient, change: Partial<SandboxProfile> = {}) {
  const found = await lookAtCluster(client, wanted(change));
  return Object.fromEntries(found.map(([level, what, ...said]: Finding) => [what, `${level}: ${said.join(' → ')}`]));
}

test('a cluster that can take sandboxes is told as it is', async () => {
  const found = await look(admin);
  expect(found['engine']).toMatch(/^ok: Kubernetes v1\.\d+\.\d+ at https:/);
  expect(found).toMatchObject({
    rights: expect.stringMatching(/^ok: /),
    namespace: `ok: "${NAMESPACE}" enforces "restricted" for pods`,
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

describe('a namespace', () => {
  test('that is not there is refused, with how to make it', async () => {
    using client = new KubernetesClient({ ...access, namespace: 'nonesuch' });
    expect((await look(client))['namespace']).toMatch(/^fail: there is no "nonesuch".*kubectl create namespace/);
  });

  test.each([
    ['no policy', { [ENFORCE]: null }, 'enforces no policy'],
    ['a weaker policy', { [ENFORCE]: 'baseline' }, 'enforces "baseline"'],
    ['the policy of an old version', { [`${ENFORCE}-version`]: 'v1.25' }, 'as Kubernetes v1.25 knew it'],
  ])('with %s is told, with how to change it', async (_what, labels, said) => {
    await label(labels);
    const { namespace } = await look(admin);
    await label({ [ENFORCE]: 'restricted', [`${ENFORCE}-version`]: null });
    expect(namespace).toMatch(/^warn: .*kubectl label --overwrite namespace/);
    expect(namespace).toContain(said);
  });

  test('with a quota that no sandbox fits in is told with what is used, and does not end a server', async () => {
    const path = `/api/v1/namespaces/${NAMESPACE}/resourcequotas`;
    await create(path, { metadata: { name: 'small' }, spec: { hard: { pods: '0' } } });
    await expect.poll(async () => (await look(admin))['quota']).toBe('ok: small: 0 of 0 pods');
    const { admission } = await look(admin);
    await assertSuitable(admin, wanted());
    await admin.request('DELETE', `${path}/small`, anything);
    expect(admission).toMatch(/^warn: .*quota/);
  });

  test('that does not admit a sandbox is refused with the reason', async () => {
    const path = `/api/v1/namespaces/${NAMESPACE}/limitranges`;
    const limits = [{ type: 'Container', max: { memory: '64Mi' } }];
    await create(path, { metadata: { name: 'tight' }, spec: { limits } });
    await expect.poll(async () => (await look(admin))['admission']).toMatch(/^fail: .*maximum memory usage/);
    await expect(assertSuitable(admin, wanted())).rejects.toThrow(/maximum memory usage/);
    await admin.request('DELETE', `${path}/tight`, anything);
  });
});

test('a RuntimeClass that is not there is refused, and one that is there is told', async () => {
  const name = `class-${randomBytes(4).toString('hex')}`;
  expect((await look(admin, { runtime: name }))['runtime']).toMatch(/^fail: .*no RuntimeClass.*GLOVEBOX_RUNTIME/);
  const path = '/apis/node.k8s.io/v1/runtimeclasses';
  await create(path, { metadata: { name }, handler: 'runc' });
  const { runtime } = await look(admin, { runtime: name });
  await admin.request('DELETE', `${path}/${name}`, anything);
  expect(runtime).toBe(`ok: ${name}, handler "runc"`);
});

test('the look makes no pod', async () => {
  await look(admin);
  const schema = z.object({ items: z.array(z.unknown()) });
  expect((await admin.request('GET', podPath(NAMESPACE), { schema })).items).toEqual([]);
});
