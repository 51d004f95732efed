import type { IncomingMessage } from 'node:http';
import { isProjectName, normalizeName } from '../pep/names.ts';
import { Problem } from '../upstream/problem.ts';

export type Route =
  | { readonly to: 'page'; readonly project: string }
  | { readonly to: 'redirect'; readonly location: string }
  | {
      readonly to: 'file' | 'metadata' | 'unpacked';
      readonly project: string;
      readonly id: string;
      readonly filename: string;
    };

/** Characters of a request target. */
const LONGEST_TARGET = 1024;
const METADATA = '.metadata';
/** Suffix of Glovebox's own for the size of a wheel's files once unpacked, as a decimal number of bytes. */
const UNPACKED = '.unpacked';

/**
 * Reads what a request asks for. Only known forms are accepted.
 * @throws Problem 400, 404 or 405 for any other request
 */
export function parseRoute({ method, url = '', headers }: IncomingMessage): Route {
  if (method !== 'GET' && method !== 'HEAD') throw new Problem(405, 'This package index accepts only GET and HEAD.');
  // A body of a GET request could be used for request smuggling.
  if (headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0') {
    throw new Problem(400, 'Requests to this package index must not have a body.');
  }
  if (!url.startsWith('/')) throw new Problem(400, 'This is a package index, not a proxy.');
  if (url.length > LONGEST_TARGET) throw new Problem(400, 'The address is too long.');
  const path = url.split(/[?#]/, 1)[0] ?? '';
  const [first, second = '', ...rest] = path.slice(1).split('/').map(decode);
  if (first === 'simple') return parsePage(second, rest);
  if (first === 'files') return parseFile(second, rest);
  throw new Problem(404, 'This is a package index. Request /simple/<name>/.');
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new Problem(400, 'The address is not well-formed.');
  }
}

function parsePage(name: string, rest: readonly string[]): Route {
  if (name === '' && rest.length === 0) {
    throw new Problem(404, 'This package index does not list all packages. Request /simple/<name>/.');
  }
  if (!isProjectName(name) || rest.length > 1 || (rest[0] ?? '') !== '') {
    throw new Problem(404, 'This is not a package name. Request /simple/<name>/.');
  }
  const project = normalizeName(name);
  if (project !== name || rest.length === 0) return { to: 'redirect', location: `/simple/${project}/` };
  return { to: 'page', project };
}

function parseFile(project: string, [id = '', name = '', ...more]: readonly string[]): Route {
  const isKnown = isProjectName(project) && /^u?[0-9a-f]{64}$/.test(id) && /^[\w.+!~-]{1,300}$/.test(name);
  if (!isKnown || more.length > 0)
    throw new Problem(404, 'There is no such file. Follow the links of /simple/<name>/.');
  if (name.endsWith(UNPACKED)) return { to: 'unpacked', project, id, filename: name.slice(0, -UNPACKED.length) };
  return name.endsWith(METADATA)
    ? { to: 'metadata', project, id, filename: name.slice(0, -METADATA.length) }
    : { to: 'file', project, id, filename: name };
}
