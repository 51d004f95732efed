import { expect, test } from 'vitest';
import { reply, startApiServer } from '../../../test/support/api-server.ts';
import { addressesOf } from './addresses.ts';
import { KubernetesClient } from './api/client.ts';

const PODS = '/api/v1/namespaces/sandboxes/pods';
const SERVICE = '/api/v1/namespaces/default/services/kubernetes';

function pod(name: string, podIP: string, hostIP: string) {
  return { metadata: { name }, status: { podIP, podIPs: [{ ip: podIP }], hostIP } };
}

/** Asks for the addresses in a cluster that gives these answers, and forbids all others. */
async function addresses(answers: Record<string, unknown>, service?: { host: string; port: string }) {
  await using server = await startApiServer({
    answer: (request, response) => {
      const found = answers[request.url?.split('?')[0] ?? ''];
      if (found) reply(response, 200, found);
      else reply(response, 403, { status: 'Failure', reason: 'Forbidden', message: 'forbidden' });
    },
  });
  using client = new KubernetesClient(server.access);
  const found = await addressesOf({ client, ...(service ? { service } : {}) }, 'own');
  return found.map(({ protocol, host, port }) => `${protocol} ${host} ${port}`);
}

test("the node, other pods, the cluster's services, clouds and the public are among them, and itself is not", async () => {
  const own = pod('own', '10.1.0.5', '10.0.0.4');
  const found = await addresses({
    [`${PODS}/own`]: own,
    [PODS]: { items: [own, pod('other', '10.1.0.6', '10.0.0.4')] },
    [SERVICE]: { spec: { clusterIPs: ['10.96.0.1'] } },
  });
  expect(found).toEqual(
    expect.arrayContaining([
      ...['tcp 10.0.0.4 10250', 'udp 10.0.0.4 9', 'ping 10.0.0.4 0', 'tcp 10.1.0.6 9', 'tcp 10.96.0.1 443'],
      ...['udp 10.96.0.10 53', 'tcp 169.254.169.254 80', 'udp 1.1.1.1 53', 'tcp 2606:4700:4700::1111 443'],
    ]),
  );
  expect(found.filter((address) => / (10\.1\.0\.5|127\.0\.0\.1) /.test(address))).toEqual([]);
  expect(new Set(found).size).toBe(found.length);
});

test('a pod in the network of its node is to try that, though the address is its own', async () => {
  const own = pod('own', '10.0.0.4', '10.0.0.4');
  expect(await addresses({ [`${PODS}/own`]: own, [PODS]: { items: [own] } })).toContain('tcp 10.0.0.4 10250');
});

test('where nothing else may be read, a server in a pod knows its services by its own variables', async () => {
  const own = pod('own', '10.1.0.5', '10.0.0.4');
  const found = await addresses({ [`${PODS}/own`]: own, [PODS]: { items: [own] } }, { host: '10.43.0.1', port: '443' });
  expect(found).toEqual(expect.arrayContaining(['tcp 10.43.0.1 443', 'udp 10.43.0.10 53']));
});
