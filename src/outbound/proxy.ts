import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { GloveboxError } from '../errors.ts';

/**
 * Finds the proxy for a URL by the host's variables `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`. Undefined if there is
 * none.
 * @throws GloveboxError `invalid_input` when the proxy is not an HTTP proxy
 */
export function proxyFor(url: URL, proxy: Readonly<Record<string, string>>): URL | undefined {
  const value = setting(proxy, `${url.protocol.slice(0, -1)}_proxy`);
  if (!value || isExempt(url, setting(proxy, 'no_proxy') ?? '')) return undefined;
  const parsed = URL.parse(value.includes('://') ? value : `http://${value}`);
  if (parsed && (parsed.protocol === 'http:' || parsed.protocol === 'https:')) return parsed;
  throw new GloveboxError(
    'invalid_input',
    'The proxy in HTTPS_PROXY or HTTP_PROXY is not an http:// or https:// URL.',
    {
      hint: 'Set it to an HTTP proxy such as http://proxy.example:3128, or unset the variable.',
    },
  );
}

/** Reads a variable. The lower-case name takes precedence, as in curl and Python. */
function setting(proxy: Readonly<Record<string, string>>, name: string): string | undefined {
  return proxy[name] ?? proxy[name.toUpperCase()];
}

/** Whether `NO_PROXY` names the host: by `*`, a domain, an address or a network, each with an optional port. */
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

/** The header with the credentials of a proxy, if its URL has any. */
export function proxyAuthorization(proxy: URL): Record<string, string> {
  return proxy.username ? { 'proxy-authorization': basicAuthorization(proxy) } : {};
}

/** The user and password of a URL as Basic credentials (RFC 7617). */
export function basicAuthorization({ username, password }: URL): string {
  const text = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return `Basic ${Buffer.from(text).toString('base64')}`;
}
