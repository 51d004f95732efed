import { BlockList, isIP, isIPv4, type LookupFunction } from 'node:net';

/** Where no public package file is: this host, private networks, link-local, carrier, multicast, reserved. */
const INTERNAL = new BlockList();
for (const [net, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const) {
  INTERNAL.addSubnet(net, bits, 'ipv4');
}
for (const [net, bits] of [
  // ::, ::1 and IPv4-compatible addresses; IPv4-mapped ones (::ffff:0:0/96) are checked as IPv4.
  ['::', 96],
  ['64:ff9b:1::', 48],
  ['100::', 64],
  // Teredo and 6to4 lead into IPv4 networks.
  ['2001::', 32],
  ['2002::', 16],
  ['fc00::', 7],
  ['fe80::', 10],
  ['fec0::', 10],
  ['ff00::', 8],
] as const) {
  INTERNAL.addSubnet(net, bits, 'ipv6');
}
/** NAT64 (RFC 6052): the last 32 bits are an IPv4 address, by which public ones are reached on IPv6-only hosts. */
const NAT64 = new BlockList();
NAT64.addSubnet('64:ff9b::', 96, 'ipv6');

/** Whether an IP address, as a resolver or a URL gives it, is one of this host or of its private surroundings. */
export function isInternalAddress(address: string): boolean {
  const bare = address.replace(/^\[|\]$/g, '').replace(/%.*$/, '');
  if (isIPv4(bare)) return INTERNAL.check(bare, 'ipv4');
  if (isIP(bare) !== 6) return true;
  if (NAT64.check(bare, 'ipv6')) return INTERNAL.check(lastIPv4(bare), 'ipv4');
  return INTERNAL.check(bare, 'ipv6');
}

/** The last 32 bits of an IPv6 address in dotted form. */
function lastIPv4(address: string): string {
  const dotted = /[\d.]+$/.exec(address)?.[0];
  if (dotted?.includes('.')) return dotted;
  // "a:b::" and "::c" leave out zeros.
  const [high = '0', low = '0'] = address
    .split('::')
    .flatMap((half, index, halves) => [...(index > 0 && halves.length > 1 ? ['0', '0'] : []), ...half.split(':')])
    .map((group) => group || '0')
    .slice(-2);
  const bits = (Number.parseInt(high, 16) << 16) | Number.parseInt(low, 16);
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join('.');
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
