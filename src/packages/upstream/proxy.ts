import { isIP } from 'node:net';
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
