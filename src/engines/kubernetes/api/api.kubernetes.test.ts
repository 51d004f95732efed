import { createHash, randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { hostEnvironment } from '../../../config/host-environment.ts';
import { createLog } from '../../../log.ts';
import { type ClusterAccess, openAccess } from './access.ts';
import { refusalOf, statusOf } from './answer.ts';
import { KubernetesClient } from './client.ts';
import { openExec, runExec } from './exec.ts';
import { podPath, podSchema } from './pod.ts';
import { Watch } from './watch.ts';

const log = createLog('error');
const anything = z.unknown();
const namespace = `glovebox-api-${randomBytes(4).toString('hex')}`;
const POD = 'sandbox-1';
const LIMIT = { timeoutMs: 60_000 };

let access: ClusterAccess;
let client: KubernetesClient;
let watch: Watch<z.infer<typeof podSchema>>;
const image = process.env['GLOVEBOX_IMAGE'];

beforeAll(async () => {
  access = await openAccess({ hostEnvironment: hostEnvironment(process.env), log, namespace });
  client = new KubernetesClient(access);
  const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } };
  await client.request('POST', '/api/v1/namespaces', { body, schema: anything });
  watch = await Watch.start(client, { path: podPath(namespace), labelSelector: 'test=api', schema: podSchema, log });
  await create(POD);
  await running(POD);
});

afterAll(async () => {
  watch?.[Symbol.dispose]();
  await client?.request('DELETE', `/api/v1/namespaces/${namespace}`, { schema: anything });
});

/** What differs from a pod that sleeps. */
type Change = Readonly<Record<string, unknown>>;

async function create(name: string, spec: Change = {}, container: Change = {}, place = namespace) {
  const security = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };
  const body = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { test: 'api' } },
    spec: {
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 1,
      securityContext: { runAsUser: 10_135, runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: 'sandbox',
          image,
          imagePullPolicy: 'IfNotPresent',
          command: ['sleep', '600'],
          securityContext: security,
          ...container,
        },
      ],
      ...spec,
    },
  };
  return await client.request('POST', podPath(place), { body, schema: podSchema });
}

async function running(name: string): Promise<string> {
  return await watch.waitFor(name, (pod) => (pod?.status.phase === 'Running' ? pod.metadata.uid : undefined), LIMIT);
}

/** Has a quota that counts: a new one does not until a controller has looked at it. */
async function limitPods(name: string, pods: number): Promise<void> {
  const body = { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name }, spec: { hard: { pods: `${pods}` } } };
  const path = `/api/v1/namespaces/${namespace}/resourcequotas`;
  const metadata = z.object({ name: z.string(), uid: z.string(), resourceVersion: z.string() });
  const schema = z.object({ metadata, status: z.object({ hard: z.unknown().optional() }) });
  using quotas = await Watch.start(client, { path, schema, log });
  await client.request('POST', path, { body, schema: anything });
  await quotas.waitFor(name, (quota) => quota?.status.hard, LIMIT);
}

function target(...command: string[]) {
  return { namespace, pod: POD, container: 'sandbox', command };
}

test('input may end before the output, whose end tells the exit code', async () => {
  const errors: string[] = [];
  const script = 'cat | wc -c; sleep .2; echo after; echo err >&2; exit 7';
  const onStderr = (piece: Buffer) => errors.push(piece.toString());
  const exec = await openExec(client, { ...target('sh', '-c', script), onStderr });
  exec.end('hello');
  expect((await buffer(exec)).toString()).toBe('5\nafter\n');
  expect(errors.join('')).toBe('err\n');
  expect(await exec.ended).toEqual({ kind: 'exit', code: 7 });
});

test('many bytes pass both ways as they are, at the speed of the slower', async () => {
  const bytes = randomBytes(16 << 20);
  const exec = await openExec(client, target('cat'));
  exec.end(bytes);
  const hash = createHash('sha256');
  for await (const chunk of exec) hash.update(chunk);
  expect(hash.digest('hex')).toBe(createHash('sha256').update(bytes).digest('hex'));
  expect(await exec.ended).toEqual({ kind: 'exit', code: 0 });
});

test('a short program tells what it prints and how it ended', async () => {
  const outcome = await runExec(client, target('sh', '-c', 'echo out; echo err >&2; cat; exit 3'), 30_000);
  expect(outcome).toEqual({ end: { kind: 'exit', code: 3 }, stdout: 'out\n', stderr: 'err\n' });
});

test('a program or a container that is not there is refused in words', async () => {
  const { end } = await runExec(client, target('/no/such/program'), 30_000);
  expect(end).toMatchObject({ kind: 'refused', message: expect.stringContaining('no such file') });
  const other = runExec(client, { ...target('true'), container: 'other' }, 30_000);
  await expect(other).rejects.toThrow('container other is not valid for pod sandbox-1');
});

test('whoever leaves does not end the program, which sees the end of its input', async () => {
  const exec = await openExec(client, target('sh', '-c', 'echo started; cat; touch /dev/shm/saw-the-end; sleep 60'));
  await new Promise((resolve) => exec.once('data', resolve));
  exec.destroy();
  const script = 'until [ -e /dev/shm/saw-the-end ]; do sleep .05; done; cat /proc/*/cmdline | tr "\\0" " "';
  const { stdout } = await runExec(client, target('sh', '-c', script), 30_000);
  expect(stdout).toContain('sleep 60');
});

test('a pod that is not there is a lost sandbox, and one of another uid is not deleted', async () => {
  await expect(openExec(client, { ...target('true'), pod: 'gone' })).rejects.toMatchObject({ code: 'sandbox_lost' });
  const body = { preconditions: { uid: 'other' } };
  const deleting = client.request('DELETE', podPath(namespace, POD), { body, schema: anything });
  expect(statusOf(await deleting.catch((error: unknown) => error))).toBe(409);
  expect(statusOf(await create(POD).catch((error: unknown) => error))).toBe(409);
});

test('a pod that goes is told by the watch, and an exec in it ends', async () => {
  const { metadata } = await create('goes');
  await running('goes');
  const exec = await openExec(client, { ...target('sleep', '600'), pod: 'goes' });
  exec.resume();
  const body = { preconditions: { uid: metadata.uid }, gracePeriodSeconds: 1 };
  await client.request('DELETE', podPath(namespace, 'goes'), { body, schema: anything });
  await watch.waitFor('goes', (pod) => pod === undefined || undefined, LIMIT);
  expect((await exec.ended).kind).not.toBe('refused');
});

test('an image that no node has is seen at once', async () => {
  await create('imageless', {}, { image: 'glovebox.invalid/none:1', imagePullPolicy: 'Never' });
  const reason = await watch.waitFor(
    'imageless',
    (pod) => pod?.status.containerStatuses[0]?.state.waiting?.reason?.replace('ContainerCreating', '') || undefined,
    LIMIT,
  );
  expect(reason).toBe('ErrImageNeverPull');
});

test('refusals say what to do', async () => {
  await expect(create('classless', { runtimeClassName: 'kata' })).rejects.toMatchObject({
    message: expect.stringContaining('RuntimeClass "kata" not found'),
    hint: expect.stringContaining('GLOVEBOX_RUNTIME'),
  });
  await expect(create('invalid', {}, { name: 'Not Valid' })).rejects.toThrow('The API server refused (422, Invalid)');
  await expect(create('elsewhere', {}, {}, 'glovebox-nowhere')).rejects.toMatchObject({
    hint: expect.stringContaining('kubectl create namespace glovebox-nowhere'),
  });
  await limitPods('few', 0);
  await expect(create('too-many')).rejects.toMatchObject({ code: 'capacity_exceeded' });
  await client.request('DELETE', `/api/v1/namespaces/${namespace}/resourcequotas/few`, { schema: anything });
});

test('a namespace that admits only restricted pods says what is wrong with one', async () => {
  const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
  const body = { metadata: { labels } };
  const contentType = 'application/merge-patch+json';
  await client.request('PATCH', `/api/v1/namespaces/${namespace}`, { body, contentType, schema: anything });
  await expect(create('root', { hostNetwork: true })).rejects.toThrow(/does not admit the sandbox.*PodSecurity.*host/s);
});

test('a right that is missing is named', async () => {
  const as = `system:serviceaccount:${namespace}:default`;
  const credentials = async () => {
    const own = await access.credentials();
    return { ...own, headers: { ...own.headers, 'impersonate-user': as } };
  };
  const limited = new KubernetesClient({ ...access, credentials });
  await expect(limited.request('GET', podPath(namespace), { schema: anything })).rejects.toMatchObject({
    code: 'engine_unavailable',
    message: `"${as}" may not list pods in the namespace "${namespace}".`,
  });
  await expect(openExec(limited, target('true'))).rejects.toThrow('pods/exec in the namespace');
  await expect(Watch.start(limited, { path: podPath(namespace), schema: podSchema, log })).rejects.toThrow('list pods');
});

test('a protocol that the server does not speak is refused without a word', async () => {
  const path = `${podPath(namespace, POD)}/exec`;
  const query = { container: 'sandbox', command: 'true', stdout: true };
  const error: unknown = await client.upgrade(path, query, 'v9.channel.k8s.io').catch((reason: unknown) => reason);
  expect(refusalOf(error)).toMatchObject({ statusCode: 403, reason: '' });
});
