import { isIPv6 } from 'node:net';
import { GloveboxError } from '../../errors.ts';
import { inUrl, isAddress, readAddress, readHost } from './host-name.ts';

const HIGHEST_PORT = 65_535;
/** Ports of a pattern of the operator that names none. */
const WEB_PORTS: readonly number[] = [80, 443];

/** What hosts and ports code may reach. */
export interface Pattern {
  /** Its usual form. */
  readonly text: string;
  /** `below`: every name that ends with a dot and `host`; `any`: every name, but no address. */
  readonly kind: 'host' | 'below' | 'any';
  /** In the form of `readHost`. Empty for `any`. */
  readonly host: string;
  /** Undefined if it names none: the web's for the operator, and otherwise those of the level above. */
  readonly ports: readonly number[] | 'any' | undefined;
  /** Whether plain requests of the code go out over TLS. */
  readonly isTls: boolean;
}

/**
 * Reads a pattern: `host`, `*.host`, `*`, each with `:port` or `:*` or without, an address, `[v6]:port`, or one of these
 * after `https://`.
 * @throws GloveboxError `invalid_input` with the pattern that was probably meant
 */
export function parsePattern(written: string): Pattern {
  const text = written.trim();
  const [, scheme, rest = ''] = /^(https?):\/\/(.*)$/i.exec(text) ?? [undefined, undefined, text];
  const { host: hostText, port } = splitPort(rest);
  const host = readPatternHost(hostText);
  const ports = readPorts(port, scheme?.toLowerCase());
  if (!host || ports === 'invalid') throw invalidPattern(text);
  const isTls = scheme?.toLowerCase() === 'https';
  const { kind, name } = host;
  const shown = kind === 'any' ? '*' : kind === 'below' ? `*.${name}` : inUrl(name);
  const shownPort = port === undefined ? '' : `:${port === '*' ? port : Number(port)}`;
  return { text: `${scheme ? `${scheme.toLowerCase()}://` : ''}${shown}${shownPort}`, kind, host: name, ports, isTls };
}

/** Reads a list of patterns, each once. `none` alone is an empty list. @throws GloveboxError as `parsePattern` does */
export function parsePatterns(texts: readonly string[]): readonly Pattern[] {
  const words = texts.map((text) => text.trim()).filter(Boolean);
  if (words.length === 1 && words[0]?.toLowerCase() === 'none') return [];
  const patterns = words.map((word) => {
    if (word.toLowerCase() !== 'none') return parsePattern(word);
    throw new GloveboxError('invalid_input', '"none" stands beside hosts that code may reach.', {
      hint: 'Write "none" alone, or leave it out.',
    });
  });
  return [...new Map(patterns.map((pattern) => [pattern.text, pattern])).values()];
}

/** Whether a text is a pattern, or "none". */
export function isPattern(text: string): boolean {
  try {
    parsePatterns([text]);
    return true;
  } catch {
    return false;
  }
}

/** Whether a pattern is of that host, on some port. */
export function matchesHost({ kind, host: named }: Pattern, host: string): boolean {
  if (kind === 'host') return named === host;
  return !isAddress(host) && (kind === 'any' || host.endsWith(`.${named}`));
}

/** Ports of a pattern. @param fallback those of one that names none */
export function portsOf({ ports }: Pattern, fallback: 'web' | 'any'): readonly number[] | 'any' {
  return ports ?? (fallback === 'web' ? WEB_PORTS : 'any');
}

/** Whether every host of a pattern is a host of another one. */
export function coversHosts(outer: Pattern, inner: Pattern): boolean {
  if (inner.kind === 'host') return matchesHost(outer, inner.host);
  if (outer.kind === 'any') return true;
  if (outer.kind !== 'below' || inner.kind === 'any') return false;
  return inner.host === outer.host || inner.host.endsWith(`.${outer.host}`);
}

function splitPort(text: string): { host: string; port: string | undefined } {
  if (isIPv6(text)) return { host: `[${text}]`, port: undefined };
  const [, host = text, port] = /^(.*):([^:\]]*)$/.exec(text) ?? [];
  return { host, port };
}

function readPatternHost(text: string): { kind: Pattern['kind']; name: string } | undefined {
  if (text === '*') return { kind: 'any', name: '' };
  const isBelow = text.startsWith('*.');
  const name = readHost(isBelow ? text.slice(2) : text);
  if (name === undefined || (isBelow && isAddress(name))) return undefined;
  return { kind: isBelow ? 'below' : 'host', name };
}

function readPorts(port: string | undefined, scheme: string | undefined): Pattern['ports'] | 'invalid' {
  if (port === '*') return 'any';
  if (port === undefined) return scheme === undefined ? undefined : [scheme === 'https' ? 443 : 80];
  const number = Number(port);
  return /^\d{1,5}$/.test(port) && number >= 1 && number <= HIGHEST_PORT ? [number] : 'invalid';
}

function invalidPattern(text: string): GloveboxError {
  const short = text.slice(0, 100);
  return new GloveboxError('invalid_input', `${JSON.stringify(short)} names no host that code may reach.`, {
    hint: adviseOn(short) ?? FORMS,
  });
}

const FORMS =
  'Write a host (api.example.com), all below it (*.example.com), an address, each with a port if it is not 80 or 443 (:8443, or :* for all), or "none".';

/** Says what was probably meant. */
function adviseOn(text: string): string | undefined {
  const [, scheme = '', rest = text] = /^([a-z]+:\/{1,2}|[a-z]+\/\/)?(.*)$/i.exec(text) ?? [];
  if (/^\*[^.:*]/.test(rest)) return `Did you mean "*.${rest.slice(1)}"? It is every host below that name.`;
  if (/^\.[^.]/.test(rest)) return `Did you mean "*${rest}"? It is every host below that name.`;
  if (/.\*|\*.*\*/.test(rest.replace(/:\*$/, ''))) return 'A "*" stands alone, before the first dot, or as the port.';
  if (rest.includes('/') && readAddress(rest.split('/')[0] ?? '') !== undefined) return NETWORK;
  if (/^\d+(\.\d+){3}\/\d+$/.test(rest)) return NETWORK;
  const host = rest.split(/[/?#]/)[0] ?? '';
  if (rest.includes('@')) return 'A pattern has no user and password. Secrets are set with: glovebox secret set';
  if (host !== rest || (scheme !== '' && !/^https?:\/\/$/i.test(scheme))) {
    const { host: name } = splitPort(host);
    if (readPatternHost(name)) return `Did you mean "${host}"? A pattern has no path: it is of a whole host.`;
  }
  return undefined;
}

const NETWORK =
  'A network says where named hosts may be: GLOVEBOX_EGRESS_PRIVATE. Here, name hosts, or single addresses.';
