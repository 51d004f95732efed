import { isIP, type LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';

/** Networks reserved for documentation, used in tests. Packets to them reach no host, internal or public. */
const EXAMPLES = ['192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24', '2001:db8::/32'].map(ipaddr.parseCIDR);
/** Network of IPv4-compatible addresses (RFC 4291, 2.5.5.1), which ipaddr.js treats as public. */
const IPV4_COMPATIBLE = ipaddr.parseCIDR('::/96');
/** Network of NAT64 (RFC 6052): the last 32 bits are an IPv4 address, which IPv6-only hosts reach in this way. */
const NAT64 = ipaddr.parseCIDR('64:ff9b::/96');

/**
 * Whether an IP address, as a resolver or a URL gives it, is not public: loopback, private, link-local, carrier-grade
 * NAT, multicast or reserved. A text that is not an IP address counts as internal.
 */
export function isInternalAddress(address: string): boolean {
  const bare = address.replace(/^\[|\]$/g, '');
  // By itself, ipaddr.js would accept short addresses such as 127.1, and would read ::8.8.8.8 as ::ffff:8.8.8.8.
  if (isIP(bare) === 0 || /^::\d+\./.test(bare)) return true;
  return !ipaddr.isValid(bare) || isInternal(ipaddr.process(bare));
}

function isInternal(address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  const isIn = (network: [ipaddr.IPv4 | ipaddr.IPv6, number]) =>
    network[0].kind() === address.kind() && address.match(network);
  if (isIn(NAT64)) return isInternal(ipaddr.fromByteArray(address.toByteArray().slice(-4)));
  return isIn(IPV4_COMPATIBLE) || (address.range() !== 'unicast' && !EXAMPLES.some(isIn));
}

/**
 * Whether the host of a URL is an internal address, or a name that always means this host.
 * `URL` has already converted decimal, octal and hexadecimal IPv4 addresses to the dotted form.
 */
export function isInternalHost(hostname: string): boolean {
  const bare = hostname
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '')
    .toLowerCase();
  if (isIP(bare)) return isInternalAddress(bare);
  return bare === 'localhost' || bare.endsWith('.localhost') || bare === '';
}

/** Error of a guarded lookup. The request fails with it before it connects. */
export class InternalAddressError extends Error {}

/** Wraps a lookup so that it leaves out internal addresses, and fails when no other address remains. */
export function guardLookup(lookup: LookupFunction): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, []);
      const all = typeof addresses === 'string' ? [{ address: addresses, family: 0 }] : addresses;
      const [first, ...more] = all.filter(({ address }) => !isInternalAddress(address));
      if (!first) return callback(new InternalAddressError(`${hostname} resolves to an internal address`), []);
      return options.all ? callback(null, [first, ...more]) : callback(null, first.address, first.family);
    });
  };
}
