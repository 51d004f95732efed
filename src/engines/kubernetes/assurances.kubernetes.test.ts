import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { OwnNamespace } from '../../../test/support/cluster-accounts.ts';
import { loadConfig } from '../../config/load.ts';
import { createLog } from '../../log.ts';
import { probeSandbox } from '../../probe/probe.ts';
import { PROTECTIONS } from '../../sandbox/assurances.ts';
import type { SandboxProfile } from '../../sandbox/engine.ts';
import type { ClusterAccess } from './api/access.ts';
import { KubernetesClient, type Method, type RequestOptions } from './api/client.ts';
import { kubernetesAssurances } from './assurances.ts';
import { KubernetesEngine } from './engine.ts';

const config = loadConfig();
const log = createLog('error');

type Fields = Record<string, unknown>;

/** Changes pods on their way, as a webhook of a cluster may. */
class ChangingClient extends KubernetesClient {
  readonly #change: (spec: Fields) => Fields;

  constructor(access: ClusterAccess, change: (spec: Fields) => Fields) {
    super(access);
    this.#change = change;
  }

  override async request<T>(method: Method, path: string, options: RequestOptions<T>): Promise<T> {
    if (method !== 'POST' || !path.endsWith('/pods')) return await super.request(method, path, options);
    const pod = z.looseObject({ spec: z.record(z.string(), z.unknown()) }).parse(options.body);
    return await super.request(method, path, { ...options, body: { ...pod, spec: this.#change(pod.spec) } });
  }
}

let own: OwnNamespace;

beforeAll(async () => {
  // Not the strict one of sandboxes: an administrator may have pods there that share the network of their node.
  own = await OwnNamespace.create('assurances');
});
afterAll(() => own[Symbol.asyncDispose]());

interface Look {
  /** What the cluster makes of what it is asked for. */
  readonly change?: (spec: Fields) => Fields;
  /** What is asked for, where another is given. */
  readonly asked?: Partial<SandboxProfile>;
}

/** What a look into a first sandbox of the cluster finds. */
async function look({ change = (spec) => spec, asked = {} }: Look = {}): Promise<Record<string, string>> {
  const client = new ChangingClient(own.access, change);
  const { image } = config;
  const profile: SandboxProfile = { image, memoryMb: 256, cpus: 1, pids: 64, diskMb: 64, maxLifetimeS: 600 };
  // It would refuse what the cluster changes; here, the look is to find it.
  using engine = new KubernetesEngine(client, { ...config, allowMissing: PROTECTIONS }, log);
  await engine.watch();
  const assurances = kubernetesAssurances({ client, settings: config, profile, log });
  const backend = { engine, profile, log, label: () => 'probe', configuration: { preload: 'none' } as const };
  const told = {
    ...assurances,
    expect: (probed: SandboxProfile) => assurances.expect({ ...probed, ...asked }),
    inspect: (ref: string, probed: SandboxProfile) => assurances.inspect(ref, { ...probed, ...asked }),
  };
  const found = await probeSandbox(backend, told, new AbortController().signal);
  return Object.fromEntries(found.map(({ name, found: said }) => [name, said]));
}

test('a look into a first sandbox of this cluster finds all that was asked for', async () => {
  expect(await look()).toEqual({});
});

test('it finds limits that are not those which were asked for', async () => {
  const found = await look({ asked: { memoryMb: 128, pids: 32, diskMb: 16, cpus: 0.5 } });
  expect(Object.keys(found)).toEqual(expect.arrayContaining(['memory', 'pids', 'cpu', 'disks']));
  expect(found['pids']).toMatch(/^\d+ processes could be started, not 32$/);
});

describe('a pod that the cluster has changed', () => {
  test('to share the network of its node is found to reach the API server, and told by the server, too', async () => {
    const found = await look({ change: (spec) => ({ ...spec, hostNetwork: true }) });
    expect(found['network']).toContain(`tcp ${own.access.server.hostname} `);
    expect(found['network']).toMatch(/\((answer|ECONNREFUSED)\)/);
  });

  test('to write where each container may, on the disk of its node, is found to', async () => {
    const plain = (spec: Fields) => {
      const containers = z.array(z.looseObject({})).parse(spec['containers']);
      return {
        ...spec,
        containers: containers.map((one) => ({ ...one, terminationMessagePath: '/dev/termination-log' })),
      };
    };
    expect((await look({ change: plain }))['writable']).toContain('/dev/termination-log');
  });

  test('to know the name servers of its node is found to ask them', async () => {
    const dnsConfig = { nameservers: ['192.0.2.53'] };
    expect((await look({ change: (spec) => ({ ...spec, dnsConfig }) }))['resolver']).toContain('192.0.2.53');
  });
});

test('a pod that the cluster has changed while a server runs is refused before code runs in it', async () => {
  const client = new ChangingClient(own.access, (spec) => ({ ...spec, hostNetwork: true }));
  using engine = new KubernetesEngine(client, config, log);
  const { image } = config;
  const sizes = { memoryMb: 256, cpus: 1, pids: 64, diskMb: 64, maxLifetimeS: 600 };
  const starting = engine.start({ key: randomBytes(8).toString('hex'), instance: 'changed', image, ...sizes });
  await expect(starting).rejects.toThrow(/has changed the pod of a sandbox: network \(.*hostNetwork is true/);
});

test('a network policy that is deleted has a server look again', async () => {
  const path = `/apis/networking.k8s.io/v1/namespaces/${own.name}/networkpolicies`;
  const body = { metadata: { name: 'closed' }, spec: { podSelector: {}, policyTypes: ['Ingress', 'Egress'] } };
  await own.make(path, body);
  const profile = { ...config, image: config.image };
  const assurances = kubernetesAssurances({ client: own.admin, settings: config, profile, log });
  const before = await assurances.fingerprint();
  const changed = Promise.withResolvers<void>();
  const { signal } = new AbortController();
  expect(await assurances.watch(changed.resolve, signal)).toBe(true);
  expect(await assurances.fingerprint()).toBe(before);
  await own.remove(`${path}/closed`);
  await changed.promise;
  expect(await assurances.fingerprint()).not.toBe(before);
});

test('nothing is left of it', async () => {
  expect(await own.countPods()).toBe(0);
});
