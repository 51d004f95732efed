import { isDeepStrictEqual } from 'node:util';
import type Docker from 'dockerode';
import type { Protection, Shortfall } from '../../../sandbox/assurances.ts';

/** Options that are compared with what was asked for. The others are seen from inside, where they take effect. */
const AS_ASKED: readonly (readonly [field: string, name: Protection])[] = [
  ['Memory', 'memory'],
  ['MemorySwap', 'swap'],
  ['PidsLimit', 'pids'],
  ['NanoCpus', 'cpu'],
  ['ReadonlyRootfs', 'writable'],
  ['NetworkMode', 'network'],
  ['IpcMode', 'namespaces'],
  ['CgroupnsMode', 'namespaces'],
];

/** Options that nobody asked for, with the values that stand for none of it. */
const NOT_ASKED: readonly (readonly [field: string, name: Protection])[] = [
  ['Privileged', 'privileges'],
  ['CapAdd', 'capabilities'],
  ['Binds', 'writable'],
  ['Mounts', 'writable'],
  ['Devices', 'capabilities'],
  ['DeviceRequests', 'capabilities'],
];
/** Namespaces of the machine, or of another container. */
const SHARED = /^(host|container:)/;
const NAMESPACES = ['PidMode', 'UTSMode', 'UsernsMode'] as const;

/** Compares a container, as its engine tells it, with the options that it was made from. */
export function compareMade(asked: Docker.ContainerCreateOptions, made: unknown): readonly Shortfall[] {
  const host = fieldsOf(fieldsOf(made)?.['HostConfig']);
  if (!host) return [{ name: 'namespaces', found: 'the engine does not tell how it made a sandbox' }];
  const wanted = fieldsOf(asked.HostConfig) ?? {};
  const differing = AS_ASKED.filter(([field]) => !isDeepStrictEqual(host[field], wanted[field]));
  const added = NOT_ASKED.filter(([field]) => !isNone(host[field]));
  const shared = NAMESPACES.filter((field) => SHARED.test(String(host[field] ?? '')));
  const runtime = wanted['Runtime'];
  return [
    ...[...differing, ...added].map(([field, name]) => told(name, field, host[field])),
    ...shared.map((field) => told('namespaces', field, host[field])),
    ...(runtime === undefined || host['Runtime'] === runtime ? [] : [told('seccomp', 'Runtime', host['Runtime'])]),
  ];
}

function told(name: Protection, field: string, value: unknown): Shortfall {
  return { name, found: `the engine says that ${field} is ${JSON.stringify(value)?.slice(0, 200) ?? 'not set'}` };
}

function isNone(value: unknown): boolean {
  return value === undefined || value === null || value === false || (Array.isArray(value) && value.length === 0);
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value)) : undefined;
}
