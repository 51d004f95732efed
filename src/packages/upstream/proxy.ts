import { request } from 'node:http';
import { Agent } from 'node:https';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect, type SecureContext } from 'node:tls';
import ipaddr from 'ipaddr.js';
import { GloveboxError } from '../../errors.ts';

/**
 * The proxy that the host's `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` name for a URL, if any.
 * @throws GloveboxError `invalid_input` for a proxy that is not reached over HTTP.
 */
export function proxyFor(url: URL, proxy: Readonly<Record<string, string>>): URL | undefined {
  const value = setting(proxy, `${url.protocol.slice(0, -1)}_proxy`);
  if (!value || isExempt(url, setting(proxy, 'no_proxy') ?? '')) return undefined;
  const parsed = URL.parse(value.includes('://') ? value : `http://${value}`);
  if (parsed && (parsed.protocol === 'http:' || parsed.protocol === 'https:')) return parsed;
  throw new GloveboxError('invalid_input', 'The proxy that HTTPS_PROXY or HTTP_PROXY names is no http:// URL.', {
    hint: 'Name an HTTP proxy such as http://proxy.example:3128, or unset the variable.',
  });
}

/** The lower-case variable first, as curl and Python have it. */
function setting(proxy: Readonly<Record<string, string>>, name: string): string | undefined {
  return proxy[name] ?? proxy[name.toUpperCase()];
}

/** `NO_PROXY`: `*`, names with their subdomains, addresses, networks; each may name a port. */
function isExempt(url: URL, list: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  return list
    .split(/[\s,]+/)
    .filter(Boolean)
    .some((entry) => {
      if (entry === '*') return true;
      const [, name = entry, onlyPort] = /^(.*[^:]):(\d+)$/.exec(entry) ?? [];
      if (onlyPort !== undefined && isIP(entry) !== 6 && onlyPort !== port) return false;
      const bare = (isIP(entry) === 6 ? entry : name)
        .replace(/^\*?\./, '')
        .replace(/^\[|\]$/g, '')
        .toLowerCase();
      return host === bare || (isIP(host) ? isInNetwork(host, bare) : host.endsWith(`.${bare}`));
    });
}

function isInNetwork(address: string, network: string): boolean {
  if (!ipaddr.isValidCIDR(network)) return false;
  const [base, bits] = ipaddr.parseCIDR(network);
  const host = ipaddr.process(address);
  return host.kind() === base.kind() && host.match(base, bits);
}

export function proxyAuthorization(proxy: URL): Record<string, string> {
  return proxy.username ? { 'proxy-authorization': basicAuthorization(proxy) } : {};
}

/** The user information of a URL as a Basic credential (RFC 7617). */
export function basicAuthorization({ username, password }: URL): string {
  const text = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return `Basic ${Buffer.from(text).toString('base64')}`;
}

/** Reaches https hosts through a proxy's CONNECT. */
export class ConnectAgent extends Agent {
  readonly #proxy: URL;
  readonly #secureContext: SecureContext;
  readonly #timeoutMs: number;

  constructor(proxy: URL, secureContext: SecureContext, timeoutMs: number) {
    super({ keepAlive: true, maxSockets: 100 });
    this.#proxy = proxy;
    this.#secureContext = secureContext;
    this.#timeoutMs = timeoutMs;
  }

  override createConnection(
    options: { host?: string | null; port?: number | string | null; servername?: string },
    callback: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    const target = `${isIP(options.host ?? '') === 6 ? `[${options.host}]` : options.host}:${options.port}`;
    const proxy = this.#proxy;
    // The callback's type wants a stream even beside an error, which Node never looks at.
    const fail = (error: Error) => (callback as (error: Error) => void)(error);
    const asking = request({
      protocol: 'http:',
      host: proxy.hostname.replace(/^\[|\]$/g, ''),
      port: proxy.port || (proxy.protocol === 'https:' ? 443 : 80),
      method: 'CONNECT',
      path: target,
      agent: false,
      headers: { host: target, ...proxyAuthorization(proxy) },
      timeout: this.#timeoutMs,
      ...(proxy.protocol === 'https:'
        ? {
            createConnection: (to) =>
              connect({
                host: to.host ?? '',
                port: Number(to.port),
                servername: to.host ?? '',
                secureContext: this.#secureContext,
              }),
          }
        : {}),
    });
    asking.once('timeout', () => asking.destroy(new Error('the proxy did not answer in time')));
    asking.once('error', fail);
    asking.once('response', (response) => {
      response.destroy();
      fail(new Error(`the proxy answered ${response.statusCode}`));
    });
    asking.once('connect', (response, socket) => {
      if (response.statusCode !== 200) {
        socket.destroy();
        fail(new Error(`the proxy answered ${response.statusCode}`));
        return;
      }
      const servername = options.servername ?? (isIP(options.host ?? '') ? '' : (options.host ?? ''));
      const secure = connect({ socket, servername, host: options.host ?? '', secureContext: this.#secureContext });
      callback(null, secure);
    });
    asking.end();
  }
}
