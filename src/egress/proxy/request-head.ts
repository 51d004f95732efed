import type { IncomingMessage } from 'node:http';
import type { HeaderList } from '../injector.ts';
import { readHost } from '../policy/host-name.ts';
import { BadRequest } from '../refusal.ts';

/** Where code wants to go. */
export interface Target {
  /** In the form of `readHost`. */
  readonly host: string;
  readonly port: number;
  /** Path and query; empty for a connection. */
  readonly path: string;
}

const HIGHEST_PORT = 65_535;
/** Headers between two hops (RFC 9110, 7.6.1), and those that are made anew. */
const OF_ONE_HOP: ReadonlySet<string> = new Set([
  'connection',
  'proxy-connection',
  'proxy-authorization',
  'proxy-authenticate',
  'proxy-authentication-info',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'expect',
]);

/** Headers as they were sent. */
export function headersOf({ rawHeaders }: Pick<IncomingMessage, 'rawHeaders'>): HeaderList {
  const list: [string, string][] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) list.push([rawHeaders[at] ?? '', rawHeaders[at + 1] ?? '']);
  return list;
}

/** Values of a header, one for each time that it was sent. */
export function valuesOf(headers: HeaderList, name: string): readonly string[] {
  return headers.filter(([sent]) => sent.toLowerCase() === name).map(([, value]) => value);
}

/** Headers without those of one hop, and without others that are named. */
export function passedOn(headers: HeaderList, ...also: readonly string[]): HeaderList {
  const listed = valuesOf(headers, 'connection').flatMap((value) => value.split(','));
  const left = new Set([...listed.map((name) => name.trim().toLowerCase()), ...also]);
  return headers.filter(([name]) => !OF_ONE_HOP.has(name.toLowerCase()) && !left.has(name.toLowerCase()));
}

/**
 * Reads the target of a request in absolute form, and checks that all of its parts agree on it.
 * @throws BadRequest
 */
export function readRequestTarget(request: IncomingMessage, headers: HeaderList): Target {
  const { url = '', httpVersion } = request;
  // For a WebSocket, aiohttp names the scheme of that.
  const [, authority = '', rest = ''] = /^(?:http|ws):\/\/([^/?#]*)([^#]*)/i.exec(url) ?? [];
  if (authority === '') throw new BadRequest(400, isHttps(url) ? NEEDS_CONNECT : NEEDS_ABSOLUTE);
  const target = readAuthority(authority, 80);
  if (!target) throw new BadRequest(400, 'The URL has no valid host and port, or a user in it');
  const hosts = valuesOf(headers, 'host');
  if (hosts.length > 1) throw new BadRequest(400, 'There is more than one Host header');
  if (hosts.length === 0 && httpVersion !== '1.0') throw new BadRequest(400, 'There is no Host header');
  for (const host of hosts) {
    const named = readAuthority(host, 80);
    if (named?.host !== target.host || named.port !== target.port) throw new BadRequest(400, HOST_DIFFERS);
  }
  checkFraming(headers, httpVersion);
  return { ...target, path: rest.startsWith('/') ? rest : `/${rest}` };
}

/** Reads the target of CONNECT. @throws BadRequest */
export function readConnectTarget({ url = '' }: IncomingMessage, headers: HeaderList): Target {
  const target = readAuthority(url, undefined);
  if (!target) throw new BadRequest(400, 'CONNECT needs a host and a port, such as api.example.com:443');
  const hosts = valuesOf(headers, 'host');
  if (hosts.length > 1) throw new BadRequest(400, 'There is more than one Host header');
  for (const host of hosts) {
    const named = readAuthority(host, target.port);
    if (named?.host !== target.host || named.port !== target.port) throw new BadRequest(400, HOST_DIFFERS);
  }
  if (valuesOf(headers, 'content-length').length + valuesOf(headers, 'transfer-encoding').length > 0) {
    throw new BadRequest(400, 'CONNECT has no body');
  }
  return { ...target, path: '' };
}

/** Reads the token that a client sends as the password of the proxy. @throws BadRequest 407 if it sends none */
export function readToken(headers: HeaderList): string {
  const values = valuesOf(headers, 'proxy-authorization');
  if (values.length > 1) throw new BadRequest(400, 'There is more than one Proxy-Authorization header');
  const [value] = values;
  if (value === undefined)
    throw new BadRequest(407, NEEDS_TOKEN, { headers: { 'Proxy-Authenticate': 'Basic realm="glovebox"' } });
  const [, credentials = ''] = /^basic +([A-Za-z0-9+/=_-]{1,1024})$/i.exec(value.trim()) ?? [];
  const text = Buffer.from(credentials, 'base64').toString('latin1');
  return text.slice(text.indexOf(':') + 1);
}

/** One body, of one length: what another server could read differently is refused. @throws BadRequest */
function checkFraming(headers: HeaderList, httpVersion: string): void {
  const lengths = valuesOf(headers, 'content-length');
  const encodings = valuesOf(headers, 'transfer-encoding');
  if (lengths.length > 1 || encodings.length > 1 || lengths.length + encodings.length > 1) {
    throw new BadRequest(400, 'The length of the body is given in more than one way');
  }
  if (lengths[0] !== undefined && !/^\d{1,15}$/.test(lengths[0]))
    throw new BadRequest(400, 'Content-Length is no number');
  if (encodings[0] === undefined) return;
  if (httpVersion === '1.0') throw new BadRequest(400, 'HTTP/1.0 has no Transfer-Encoding');
  if (encodings[0].trim().toLowerCase() !== 'chunked')
    throw new BadRequest(400, 'Only "chunked" is taken as Transfer-Encoding');
}

function readAuthority(text: string, defaultPort: number | undefined): { host: string; port: number } | undefined {
  const [, hostText = '', portText] = /^(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = readHost(hostText);
  const port = portText === undefined ? defaultPort : Number(portText);
  return host !== undefined && port !== undefined && port >= 1 && port <= HIGHEST_PORT ? { host, port } : undefined;
}

function isHttps(url: string): boolean {
  return /^(?:https|wss):/i.test(url);
}

const HOST_DIFFERS = 'The Host header names another host than the URL';
const NEEDS_CONNECT = 'This proxy takes https by CONNECT, as clients do by themselves with HTTPS_PROXY';
const NEEDS_ABSOLUTE = 'This is a proxy: ask it with the whole URL, as clients do by themselves with HTTP_PROXY';
const NEEDS_TOKEN = 'Use the proxy with the user and password that HTTP_PROXY has';
