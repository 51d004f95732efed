import { expect, test } from 'vitest';
import { reply, startApiServer } from '../../../test/support/api-server.ts';
import { loadConfig } from '../../config/load.ts';
import { createLog } from '../../log.ts';
import { KubernetesClient } from './api/client.ts';
import { arbitraryPod, expectPod, kubernetesAssurances } from './assurances.ts';

const MIB = 2 ** 20;
const config = loadConfig({ HOME: '/home/user' }, { image: 'registry.example/sandbox:1' });
const { image } = config;
const PROFILE = { image, memoryMb: 256, cpus: 1, pids: 64, diskMb: 64, maxLifetimeS: 600 };
const POLICIES = '/apis/networking.k8s.io/v1/namespaces/sandboxes/networkpolicies';

/** A server that gives these answers, and forbids all else; and the assurances of its cluster. */
async function open(answers: Record<string, unknown>) {
  const server = await startApiServer({
    answer: (request, response) => {
      const found = answers[request.url?.split('?')[0] ?? ''];
      if (found) reply(response, 200, found);
      else reply(response, 403, { status: 'Failure', reason: 'Forbidden', message: 'forbidden' });
    },
  });
  const client = new KubernetesClient(server.access);
  const assurances = kubernetesAssurances({ client, settings: config, profile: PROFILE, log: createLog('error') });
  return { server, client, assurances };
}

test('what must hold is taken from the pod itself', () => {
  const expected = expectPod(PROFILE, config);
  expect(expected).toMatchObject({ memoryBytes: 256 * MIB, pids: 64, cpus: 1, sharesKernel: true, sharesUser: true });
  expect(expected.rlimits).toMatchObject({ NOFILE: 1024, CORE: 0, FSIZE: 256 * MIB });
  expect(expected.disks.map(({ path, bytes, inodes }) => [path, bytes, inodes])).toEqual([
    ['/workspace', 64 * MIB, undefined],
    ['/tmp', 16 * MIB, undefined],
    ['/dev/shm', 16 * MIB, undefined],
  ]);
  expect(expectPod({ ...PROFILE, runtime: 'gvisor' }, config)).toMatchObject({ sharesKernel: false });
});

test('a pod is compared with what its own user was to have, by the name in its ref', async () => {
  const pod = arbitraryPod(PROFILE, config, 12_345);
  const path = '/api/v1/namespaces/sandboxes/pods/glovebox-0a1b';
  const { server, client, assurances } = await open({ [path]: { ...pod, spec: { ...pod.spec, hostPID: true } } });
  await using _server = server;
  using _client = client;
  expect(await assurances.inspect('0a1b/f00', PROFILE)).toEqual([
    { name: 'namespaces', found: 'the API server says that hostPID is true' },
  ]);
  expect(server.asked).toEqual([`GET ${path}`]);
});

test('a cluster is another with another version, another pod or another network policy', async () => {
  const policy = (resourceVersion: string) => ({ metadata: { name: 'p', uid: 'u', resourceVersion } });
  const answers: Record<string, unknown> = { '/version': { gitVersion: 'v1.35.4' } };
  const { server, client, assurances } = await open(answers);
  await using _server = server;
  using _client = client;
  const seen = new Set<string | undefined>();
  for (const change of [
    {},
    { '/version': { gitVersion: 'v1.36.0' } },
    { [POLICIES]: { items: [policy('1')] } },
    { [POLICIES]: { items: [policy('2')] } },
    { [POLICIES]: { items: [] } },
  ]) {
    Object.assign(answers, change);
    const fingerprint = await assurances.fingerprint();
    expect(await assurances.fingerprint()).toBe(fingerprint);
    seen.add(fingerprint);
  }
  expect(seen.size).toBe(5);
});

test('a cluster whose network policies may not be watched says so', async () => {
  const { server, client, assurances } = await open({});
  await using _server = server;
  using _client = client;
  expect(await assurances.watch(() => {}, new AbortController().signal)).toBe(false);
});
