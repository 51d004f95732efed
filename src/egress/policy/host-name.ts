import { isIP, isIPv4, isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';

/** Longest name of DNS. */
const LONGEST_NAME = 253;
const LABEL = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?';
const NAME = new RegExp(`^${LABEL}(?:\\.${LABEL})*$`);
/** What has a meaning in a URL, and none in the name of a host. */
const FOREIGN = /[\s/\\?#@:%[\]<>^|]/;

/**
 * Reads the host of a URL or pattern. There is one form of each: names are in lower case, in ASCII and without a dot at the
 * end; an address is as people write it, however it was written: 127.0.0.1 for 2130706433, 0x7f.1 and [::ffff:127.0.0.1].
 * IPv6 addresses have no brackets. Undefined if it is no host.
 */
export function readHost(text: string): string | undefined {
  const bracketed = /^\[([0-9a-fA-F:.]+)\]$/.exec(text)?.[1];
  if (bracketed !== undefined) return isIPv6(bracketed) ? readAddress(bracketed) : undefined;
  if (text === '' || text.length > LONGEST_NAME * 2 || FOREIGN.test(text)) return undefined;
  const name = URL.parse(`http://${text}`)?.hostname.replace(/\.$/, '');
  if (name === undefined || name.length > LONGEST_NAME) return undefined;
  return isIPv4(name) || NAME.test(name) ? name : undefined;
}

/** The usual form of an IPv6 address; of an IPv4 address that is written as one, its own form. */
export function readAddress(address: string): string | undefined {
  // ipaddr.js reads ::8.8.8.8 as ::ffff:8.8.8.8, which `URL` does not.
  const plain = URL.parse(`http://[${address}]`)?.hostname.slice(1, -1);
  return plain === undefined ? undefined : ipaddr.process(plain).toString();
}

/** A host as it stands in URLs and `Host` headers. */
export function inUrl(host: string): string {
  return isIPv6(host) ? `[${host}]` : host;
}

/** Whether a host, as `readHost` gives it, is an address. */
export function isAddress(host: string): boolean {
  return isIP(host) !== 0;
}
