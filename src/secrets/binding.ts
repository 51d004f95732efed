import { z } from 'zod';
import { GloveboxError } from '../errors.ts';

/** Longest secret that is sent in a request, in characters. */
export const LONGEST_SENT = 8192;

/** Headers that say how a request is sent, and are no place for a secret. */
const TAKEN =
  /^(?:host|connection|content-length|transfer-encoding|te|trailer|upgrade|keep-alive|expect|proxy-.*|accept-encoding|range|if-range|sec-websocket-.*)$/i;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;
const PLACE = '{}';

const to = z.string().regex(/^https?:\/\/[^/]+$/);

/** A host whose requests get a secret, and where it stands in them. */
const bindingSchema = z.union([
  z.strictObject({ to, header: z.string(), as: z.string() }),
  z.strictObject({ to, query: z.string() }),
  z.strictObject({ to, basic: z.string() }),
]);
export const bindingsSchema = z.array(bindingSchema);
export type Binding = z.infer<typeof bindingSchema>;

/** Where secrets of a command line are to go. */
export interface AskedBindings {
  /** `HOST`, `HOST:PORT`, or `http://HOST` for one without TLS. */
  readonly hosts: readonly string[];
  /** As `Authorization: Bearer {}`. */
  readonly headers: readonly string[];
  /** Names of parameters. */
  readonly queries: readonly string[];
  /** Users of whom the secret is the password. */
  readonly users: readonly string[];
}

/**
 * Reads the hosts of a secret. Each gets it in every place that is named; by default as a bearer token.
 * @throws GloveboxError `invalid_input`
 */
export function readBindings({ hosts, headers, queries, users }: AskedBindings): readonly Binding[] {
  const places = [
    ...headers.map(readHeader),
    ...queries.map((query) => ({ query: readQuery(query) })),
    ...users.map((basic) => ({ basic: readUser(basic) })),
  ];
  if (hosts.length === 0 && places.length > 0)
    throw wrong('--header, --query and --basic say how a host gets the secret', 'Name the host: --for api.example.com');
  if (places.length === 0) places.push({ header: 'Authorization', as: `Bearer ${PLACE}` });
  const bindings = hosts.map(readHost).flatMap((host) => places.map((place) => ({ to: host, ...place })));
  const targets = bindings.map((binding) => `${placeOf(binding)} of ${binding.to}`);
  const twice = targets.find((target, index) => targets.indexOf(target) !== index);
  if (twice !== undefined) throw wrong(`${twice} is named twice`, 'Name each place once.');
  return bindings;
}

/** What a binding fills in a request. Two of one host with the same target cannot both be sent. */
export function targetOf(binding: Binding): string {
  if ('query' in binding) return `?${binding.query}`;
  return 'basic' in binding ? 'Authorization' : binding.header;
}

/** The same for two bindings that fill the same place. */
export function placeOf(binding: Binding): string {
  // Names of parameters differ by case, names of headers do not.
  return 'query' in binding ? targetOf(binding) : targetOf(binding).toLowerCase();
}

/** Host and ports of the requests that a binding is for, and the port to which they go. */
export interface BoundHost {
  readonly host: string;
  /** Ports that code may write. */
  readonly ports: readonly number[];
  /** Whether requests go out without TLS. */
  readonly isPlain: boolean;
  /** Port to connect to. */
  readonly port: number;
  /** Beginning of addresses, as code writes them. */
  readonly address: string;
}

/** The host of a binding. */
export function hostOf(binding: Binding): BoundHost {
  const { protocol, hostname, port, host } = new URL(binding.to);
  const isPlain = protocol === 'http:';
  const usual = isPlain ? 80 : 443;
  return {
    host: bareHost(hostname),
    ports: port === '' ? [80, usual] : [Number(port)],
    isPlain,
    port: port === '' ? usual : Number(port),
    address: `http://${host}`,
  };
}

/** A host as it is compared: without the brackets of IPv6, the dot at its end, and upper case. */
export function bareHost(host: string): string {
  return host
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '');
}

function readHost(text: string): string {
  const hint = 'Write a host, with a port if that is not the usual one: api.example.com, api.example.com:8443';
  if (text.includes('*')) throw wrong(`--for is ${shown(text)}: a secret belongs to hosts that are named`, hint);
  const url = URL.parse(/^https?:\/\//i.test(text) ? text : `https://${text}`);
  const isHost = url && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '';
  if (!url || !isHost || url.pathname !== '/' || url.search !== '' || url.hash !== '' || /[\s\\@?#]/.test(text))
    throw wrong(`--for is ${shown(text)}: not a host`, hint);
  if (url.protocol === 'https:' && url.port === '80')
    throw wrong(`--for is ${shown(text)}: port 80 has no TLS`, `Without TLS: --for http://${url.hostname}`);
  return `${url.protocol}//${url.host.replace(/\.(?=:|$)/, '')}`;
}

function readHeader(text: string): { header: string; as: string } {
  const [, header = '', as = PLACE] = /^([^:]*?)\s*(?::\s*(.*?)\s*)?$/.exec(text) ?? [];
  const hint = `Write it as 'Authorization: Bearer ${PLACE}', where ${PLACE} is the secret.`;
  if (!TOKEN.test(header)) throw wrong(`--header is ${shown(text)}: not the name of a header`, hint);
  if (TAKEN.test(header)) throw wrong(`${header} cannot have a secret`, 'It says how a request is sent.');
  if (as.split(PLACE).length !== 2 || !/^[\x20-\x7e]*$/.test(as))
    throw wrong(`--header is ${shown(text)}: ${PLACE} must be in it once`, hint);
  return { header, as };
}

function readQuery(name: string): string {
  if (/^[\x21-\x7e]{1,128}$/.test(name) && !/[=&#?]/.test(name)) return name;
  throw wrong(`--query is ${shown(name)}: not the name of a parameter`, 'Write only its name: --query api_key');
}

function readUser(name: string): string {
  if (/^[\x20-\x7e]{0,128}$/.test(name) && !name.includes(':')) return name;
  throw wrong(`--basic is ${shown(name)}: not the name of a user`, 'Write the user whose password the secret is.');
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}

function wrong(said: string, hint: string): GloveboxError {
  return new GloveboxError('invalid_input', `${said}.`, { hint });
}
