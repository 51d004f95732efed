import { GloveboxError } from '../../errors.ts';
import type { Protection, Shortfall } from '../../sandbox/assurances.ts';
import { parseQuantity } from './quantity.ts';

type Fields = Readonly<Record<string, unknown>>;

/**
 * Which protection is missing if a field of a pod is not as it was asked for: that of the first line that the field begins
 * with.
 */
const NAMES: readonly (readonly [field: string, name: Protection])[] = [
  ['containers.0.resources.limits.memory', 'memory'],
  ['containers.0.resources.limits.cpu', 'cpu'],
  ['containers.0.resources', 'disks'],
  ['containers.0.securityContext.capabilities', 'capabilities'],
  ['containers.0.securityContext.readOnlyRootFilesystem', 'writable'],
  ['containers.0.securityContext.seccompProfile', 'seccomp'],
  ['containers.0.securityContext.runAs', 'user'],
  ['containers.0.securityContext', 'privileges'],
  ['containers.0.terminationMessage', 'writable'],
  ['containers.0.volume', 'disks'],
  ['containers.0', 'main-process'],
  ['securityContext.seccompProfile', 'seccomp'],
  ['securityContext', 'user'],
  ['volumes', 'disks'],
  ['dns', 'resolver'],
  ['runtimeClassName', 'seccomp'],
  ['activeDeadlineSeconds', 'main-process'],
  ['restartPolicy', 'main-process'],
];

/**
 * What a cluster may change as it needs: where a pod runs, from which registry its image comes. Variables reach the main
 * process only, which code cannot read.
 */
const CHANGEABLE =
  /^(containers\.0\.(image|env|resources\.requests)|nodeSelector|nodeName|affinity|tolerations|topology|scheduler|priority|preemption|imagePullSecrets|serviceAccount|readinessGates|schedulingGates|overhead)/i;

/** Lists that nothing may be added to. */
const CLOSED: readonly string[] = [
  'containers',
  'volumes',
  'containers.0.volumeMounts',
  'containers.0.command',
  'containers.0.args',
];

/** Fields that nobody asked for, which stand for none of it while they are absent, empty or false. */
const NOT_ASKED: readonly (readonly [field: string, name: Protection])[] = [
  ['hostNetwork', 'network'],
  ['hostPID', 'namespaces'],
  ['hostIPC', 'namespaces'],
  ['shareProcessNamespace', 'namespaces'],
  ['initContainers', 'namespaces'],
  ['ephemeralContainers', 'namespaces'],
  ['resourceClaims', 'capabilities'],
  ['securityContext.sysctls', 'namespaces'],
  ['securityContext.supplementalGroups', 'user'],
  ['containers.0.securityContext.privileged', 'privileges'],
  ['containers.0.securityContext.capabilities.add', 'capabilities'],
  ['containers.0.volumeDevices', 'disks'],
  ['containers.0.lifecycle', 'main-process'],
  ['containers.0.livenessProbe', 'main-process'],
];

/**
 * Compares a pod as the API server tells it with what was asked for. Admission in a cluster may change pods: a service mesh
 * adds containers, for example.
 */
export function comparePod(asked: { readonly spec: object }, made: unknown): readonly Shortfall[] {
  const spec = fieldOf(made, 'spec');
  if (typeof spec !== 'object' || spec === null) {
    return [{ name: 'namespaces', found: 'the API server does not tell how it made a sandbox' }];
  }
  const differing = leavesOf(asked.spec).filter(
    ([field, value]) => !CHANGEABLE.test(field) && !isSame(field, value, fieldOf(spec, field)),
  );
  const longer = CLOSED.filter((field) => sizeOf(fieldOf(spec, field)) > sizeOf(fieldOf(asked.spec, field)));
  const added = NOT_ASKED.filter(([field]) => !isNone(fieldOf(spec, field)) && isNone(fieldOf(asked.spec, field)));
  const found = [
    ...differing.map(([field]) => told(nameOf(field), field, fieldOf(spec, field))),
    ...longer.map((field) =>
      told(field === 'containers' ? 'namespaces' : nameOf(field), field, namesIn(fieldOf(spec, field))),
    ),
    ...added.map(([field, name]) => told(name, field, fieldOf(spec, field))),
  ];
  return found.filter(({ name }, at) => found.findIndex((other) => other.name === name) === at);
}

/**
 * Refuses a pod that the cluster has changed, unless what it lacks may be missing. A first look at the cluster cannot know
 * what its admission will do later.
 * @throws GloveboxError `engine_unavailable` that names what is missing
 */
export function assertAsAsked(asked: { readonly spec: object }, made: unknown, allowed: readonly Protection[]): void {
  const missing = comparePod(asked, made).filter(({ name }) => !allowed.includes(name));
  if (missing.length === 0) return;
  const names = missing.map(({ name }) => name).join(',');
  throw new GloveboxError(
    'engine_unavailable',
    `The cluster has changed the pod of a sandbox: ${missing.map(({ name, found }) => `${name} (${found})`).join('; ')}.`,
    {
      hint: `Exempt the namespace of the sandboxes from the policy or webhook that does so, such as a service mesh. To serve without, at your own risk: GLOVEBOX_ALLOW_MISSING=${names}.`,
    },
  );
}

function nameOf(field: string): Protection {
  return NAMES.find(([start]) => field.startsWith(start))?.[1] ?? 'namespaces';
}

/** The server writes quantities in its own way, and leaves out namespaces of the node that are not shared. */
function isSame(field: string, asked: unknown, made: unknown): boolean {
  if (asked === made) return true;
  if (asked === false && made === undefined && field.startsWith('host')) return true;
  const isQuantity = /\.(limits|sizeLimit)(\.|$)/.test(field) && typeof asked === 'string' && typeof made === 'string';
  return isQuantity && parseQuantity(asked) === parseQuantity(made);
}

/** The fields of an object that are no objects themselves, by their paths. */
function leavesOf(value: unknown, path = ''): (readonly [field: string, value: unknown])[] {
  if (typeof value !== 'object' || value === null) return value === undefined ? [] : [[path, value]];
  return Object.entries(value).flatMap(([name, inner]) => leavesOf(inner, path === '' ? name : `${path}.${name}`));
}

function fieldOf(value: unknown, field: string): unknown {
  let found = value;
  for (const name of field.split('.')) {
    if (typeof found !== 'object' || found === null) return undefined;
    const fields: Fields = Object.fromEntries(Object.entries(found));
    found = fields[name];
  }
  return found;
}

function sizeOf(value: unknown): number {
  return Array.isArray(value) ? value.length : 0;
}

function namesIn(value: unknown): unknown {
  return Array.isArray(value) ? value.map((item) => fieldOf(item, 'name') ?? item) : value;
}

function isNone(value: unknown): boolean {
  return value === undefined || value === null || value === false || (Array.isArray(value) && value.length === 0);
}

function told(name: Protection, field: string, value: unknown): Shortfall {
  return { name, found: `the API server says that ${field} is ${JSON.stringify(value)?.slice(0, 200) ?? 'not set'}` };
}
