import { hash } from 'node:crypto';

/** Characters of a tag, in base64url. */
const LENGTH = 8;
/** Between an id and a tag: ids do not have it. */
const MARK = '~';

/** A short form of a control plane's name, for ids of what only it has. */
export function tagOf(name: string): string {
  return hash('sha256', name, 'base64url').slice(0, LENGTH);
}

/** An id that tells which control plane has what it stands for. */
export function tagged(id: string, name: string): string {
  return `${id}${MARK}${tagOf(name)}`;
}

/** The tag of an id. Undefined if it has none. */
export function tagIn(id: string): string | undefined {
  return /~([\w-]{8})$/.exec(id)?.[1];
}
