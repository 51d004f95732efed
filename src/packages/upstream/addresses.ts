import { isIP, type LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';

/** Kept for examples, and so for tests: they lead nowhere, neither inside nor outside. */
const EXAMPLES = ['192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24', '2001:db8::/32'].map(ipaddr.parseCIDR);
/** IPv4-compatible addresses (RFC 4291, 2.5.5.1), which ipaddr.js takes for public ones. */
const IPV4_COMPATIBLE = ipaddr.parseCIDR('::/96');
/** NAT64 (RFC 6052): the last 32 bits are an IPv4 address, by which public ones are reached on IPv6-only hosts. */
const NAT64 = ipaddr.parseCIDR('64:ff9b::/96');

/**
 * Whether an IP address, as a resolver or a URL gives it, is one where no public package file is: of this host, private,
 * link-local, of a carrier, multicast or reserved. What is no address counts as one.
 */
export function isInternalAddress(address: string): boolean {
  const bare = address.replace(/^\[|\]$/g, '');
  // ipaddr.js alone also reads shortened addresses, such as 127.1, and reads ::8.8.8.8 as ::ffff:8.8.8.8.
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
 * Whether the host of a URL is such an address, or a name that means this host without being resolved.
 * `URL` has already turned decimal, octal and hexadecimal IPv4 into dots.
 */
export function isInternalHost(hostname: string): boolean {
  const bare = hostname
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '')
    .toLowerCase();
  if (isIP(bare)) return isInternalAddress(bare);
  return bare === 'localhost' || bare.endsWith('.localhost') || bare === '';
}

/** Thrown by a guarded lookup; the request fails with it before it connects. */
export class InternalAddressError extends Error {}

/** Drops internal addresses from what a name resolves to, and fails when no other is left. */
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
