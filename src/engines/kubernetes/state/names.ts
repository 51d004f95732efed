import { createHash, randomBytes } from 'node:crypto';

/** API group of the records of sessions; see `charts/glovebox/crds`. */
const API_GROUP = 'glovebox.dev';
export const API_VERSION = `${API_GROUP}/v1`;
const RESOURCE = 'sessions';
/** Name of the definition of records. */
export const DEFINITION = `${RESOURCE}.${API_GROUP}`;
export const KIND = 'Session';

/** Labels and annotations of leases and records. */
export const STATE_LABELS = {
  /** Hash of the group's name: not each name may be a label. */
  group: 'glovebox.group',
  /** Hash of the owner, by which an operator selects. */
  owner: 'glovebox.owner',
  /** Key of the sandbox that a record names. */
  sandbox: 'glovebox.sandbox',
  address: 'glovebox.address',
  publicKey: 'glovebox.public-key',
  version: 'glovebox.version',
} as const;

/** Path of the leases of a namespace, or of one of them. */
export function leasePath(namespace: string, name?: string): string {
  return objectPath('coordination.k8s.io/v1', namespace, 'leases', name);
}

/** Path of the records of a namespace, or of one of them. */
export function recordPath(namespace: string, name?: string): string {
  return objectPath(API_VERSION, namespace, RESOURCE, name);
}

function objectPath(api: string, namespace: string, resource: string, name: string | undefined): string {
  const path = `/apis/${api}/namespaces/${encodeURIComponent(namespace)}/${resource}`;
  return name === undefined ? path : `${path}/${encodeURIComponent(name)}`;
}

/** Value of the label of a group. */
export function groupId(group: string): string {
  return hash(group, 16);
}

/** Value of the label of an owner. */
export function ownerId(owner: string): string {
  return hash(owner, 16);
}

/** Name of the record of a session: whoever makes it first has the session's name. */
export function recordName(group: string, owner: string, id: string): string {
  return `s-${hash(`${group}\0${owner}\0${id}`, 32)}`;
}

/** Returns a name for a run, which is the name of its lease. No other run ever has it. */
export function newRunName(group: string): string {
  return `glovebox-${group.replaceAll('_', '-')}-${randomBytes(6).toString('hex')}`;
}

/** Labels that say to which group an object belongs. */
export function labelsOf(group: string): Record<string, string> {
  return { 'app.kubernetes.io/managed-by': 'glovebox', [STATE_LABELS.group]: groupId(group) };
}

export function selectorOf(group: string): string {
  return `${STATE_LABELS.group}=${groupId(group)}`;
}

function hash(text: string, digits: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, digits);
}
