import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { z } from 'zod';
import type { TriedAddress } from '../../sandbox/assurances.ts';
import { refusalOf } from './api/answer.ts';
import type { KubernetesClient } from './api/client.ts';
import { podPath } from './api/pod.ts';

type Protocol = TriedAddress['protocol'];

/** What clouds tell their machines, credentials among it, and the cache of names that nodes may have. */
const OF_CLOUDS = of(
  ['169.254.169.254', 'fd00:ec2::254'],
  [
    ['tcp', 80],
    ['udp', 53],
  ],
);
const OF_NODES = of(['169.254.20.10'], [['udp', 53]]);
/** Public resolvers, for the way out of the cluster. */
const PUBLIC = of(
  ['1.1.1.1', '8.8.8.8', '2606:4700:4700::1111'],
  [
    ['tcp', 443],
    ['udp', 53],
    ['ping', 0],
  ],
);
/** Ports of a node: its kubelet, SSH, the node ports begin; and one that nothing has, as a refusal tells enough. */
const NODE_PORTS: readonly (readonly [Protocol, number])[] = [
  ['tcp', 10_250],
  ['tcp', 22],
  ['tcp', 443],
  ['tcp', 9],
  ['udp', 9],
  ['ping', 0],
];
/** Ports of a pod or of this server. */
const POD_PORTS: readonly (readonly [Protocol, number])[] = [
  ['tcp', 8000],
  ['tcp', 9],
  ['udp', 9],
  ['ping', 0],
];
const NAME_PORTS: readonly (readonly [Protocol, number])[] = [
  ['tcp', 53],
  ['udp', 53],
];
/** Most other pods that are tried. */
const MOST_PODS = 4;

const placesSchema = z.object({
  metadata: z.object({ name: z.string() }),
  status: z
    .object({
      hostIP: z.string().optional(),
      hostIPs: z.array(z.object({ ip: z.string() })).optional(),
      podIP: z.string().optional(),
      podIPs: z.array(z.object({ ip: z.string() })).optional(),
    })
    .default({}),
});
const podsSchema = z.object({ items: z.array(placesSchema) });
const serviceSchema = z.object({ spec: z.object({ clusterIPs: z.array(z.string()).default([]) }) });

export interface AddressOptions {
  readonly client: KubernetesClient;
  /** Address and port of the API server, as pods have it, if this process is in one. */
  readonly service?: { readonly host: string; readonly port: string } | undefined;
}

/**
 * Addresses that the code in a pod must not reach: of the cluster's control plane, its name server, the pod's node, other
 * pods, this machine, clouds, and the public.
 * @param name the pod's
 */
export async function addressesOf({ client, service }: AddressOptions, name: string): Promise<readonly TriedAddress[]> {
  const [own, pods, server, services] = await Promise.all([
    client.request('GET', podPath(client.namespace, name), { schema: placesSchema }),
    listPods(client),
    resolve(client.access.server.hostname),
    Promise.all([clusterIps(client, 'default', 'kubernetes'), clusterIps(client, 'kube-system', 'kube-dns')]),
  ]);
  const nodeIps = addresses(own.status.hostIPs, own.status.hostIP);
  const ownIps = addresses(own.status.podIPs, own.status.podIP).filter((ip) => !nodeIps.includes(ip));
  const others = pods
    .filter(({ metadata }) => metadata.name !== name)
    .flatMap(({ status }) => addresses(status.podIPs, status.podIP));
  const [apiIps, nameIps] = services;
  const port = Number(client.access.server.port || 443);
  const tried = [
    ...of(server, [['tcp', port]]),
    ...of(service ? [service.host] : [], [['tcp', Number(service?.port ?? 443)]]),
    ...of(apiIps, [['tcp', 443]]),
    ...of([...nameIps, ...guessNameServers(service ? [service.host] : apiIps)], NAME_PORTS),
    ...of(nodeIps, NODE_PORTS),
    ...of(others.slice(0, MOST_PODS), POD_PORTS),
    ...of(ownAddresses(), POD_PORTS),
    ...OF_NODES,
    ...OF_CLOUDS,
    ...PUBLIC,
  ];
  // Its own address says nothing of the network.
  const foreign = tried.filter(({ host }) => !isLoopback(host) && !ownIps.includes(host));
  return [...new Map(foreign.map((one) => [`${one.protocol} ${one.host} ${one.port}`, one])).values()];
}

function of(hosts: readonly string[], ports: readonly (readonly [Protocol, number])[]): TriedAddress[] {
  return hosts
    .filter((host) => isIP(host) !== 0)
    .flatMap((host) => ports.map(([protocol, port]) => ({ protocol, host, port })));
}

async function listPods(client: KubernetesClient) {
  // The list of a cache is good enough: any other pods will do.
  const query = { resourceVersion: '0' };
  return (await client.request('GET', podPath(client.namespace), { query, schema: podsSchema })).items;
}

/** Addresses of a service, where this process may read them. */
async function clusterIps(client: KubernetesClient, namespace: string, name: string): Promise<readonly string[]> {
  try {
    const path = `/api/v1/namespaces/${namespace}/services/${name}`;
    return (await client.request('GET', path, { schema: serviceSchema })).spec.clusterIPs;
  } catch (error) {
    if (refusalOf(error) === undefined) throw error;
    return [];
  }
}

/** By convention, the name server of a cluster has the tenth address of its services, and its API server the first. */
function guessNameServers(apiIps: readonly string[]): string[] {
  return apiIps.flatMap((ip) => (/^(\d+\.){3}1$/.test(ip) ? [ip.replace(/1$/, '10')] : []));
}

function addresses(all: readonly { readonly ip: string }[] | undefined, one: string | undefined): readonly string[] {
  if (all && all.length > 0) return all.map(({ ip }) => ip);
  return one === undefined ? [] : [one];
}

/** Addresses of this machine, or pod. */
function ownAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((found) => found ?? []);
  return all.filter(({ internal, address }) => !internal && !/^fe80:/i.test(address)).map(({ address }) => address);
}

async function resolve(hostname: string): Promise<readonly string[]> {
  const plain = hostname.replace(/^\[|\]$/g, '');
  if (isIP(plain) !== 0) return [plain];
  try {
    return (await lookup(plain, { all: true })).map(({ address }) => address);
  } catch {
    // Behind a proxy, for example, only that knows the name.
    return [];
  }
}

function isLoopback(host: string): boolean {
  return /^127\.|^::1$/.test(host);
}
