import type { LookupAddress } from 'node:dns';
import { isIP } from 'node:net';
import { isAddress } from '../policy/host-name.ts';
import type { PrivateNetworks } from '../policy/private-networks.ts';
import { privateAddress, Unreachable } from '../refusal.ts';
import type { Destination } from './destination.ts';
import type { Resolver } from './resolver.ts';

/** Errors by which a resolver says that there is no such name. */
const NO_SUCH_NAME: ReadonlySet<string> = new Set(['ENOTFOUND', 'ENODATA', 'EAI_NONAME', 'EAI_NODATA']);
/** Time for a name to be resolved that a proxy resolves again, in milliseconds: here it may not be known at all. */
const BEHIND_PROXY_MS = 3000;

export interface AddressParts {
  readonly resolver: Resolver;
  readonly networks: PrivateNetworks;
}

/**
 * Resolves a host once, and returns the addresses to which a connection may be made.
 * @throws Refused `address` when all of them are private; Unreachable when there is none
 */
export async function findAddresses(
  destination: Destination,
  { resolver, networks }: AddressParts,
  signal: AbortSignal,
): Promise<readonly LookupAddress[]> {
  const { owner, host, port } = destination;
  if (isAddress(host)) return [checkAddress(destination, networks)];
  if (networks.isRefusedName(host)) throw privateAddress(host, port);
  const found = await resolver.resolve(owner, host, signal).catch((cause: NodeJS.ErrnoException) => {
    if (signal.aborted) throw signal.reason;
    const isUnknown = NO_SUCH_NAME.has(cause.code ?? '');
    throw new Unreachable(isUnknown ? `There is no host ${host}` : `The name ${host} cannot be resolved now`, {
      cause,
    });
  });
  const allowed = found.filter(({ address }) => !networks.isRefused(address));
  if (allowed.length > 0) return allowed;
  if (found.length === 0) throw new Unreachable(`The host ${host} has no address`);
  throw privateAddress(host, port, listed(found));
}

/**
 * Checks a host that a proxy connects to: an address, a name of metadata, and a name as far as it is known here.
 * @throws Refused `address`
 */
export async function checkBehindProxy(
  destination: Destination,
  { resolver, networks }: AddressParts,
  signal: AbortSignal,
): Promise<void> {
  const { owner, host, port } = destination;
  if (isAddress(host)) return void checkAddress(destination, networks);
  if (networks.isRefusedName(host)) throw privateAddress(host, port);
  const patience = AbortSignal.any([signal, AbortSignal.timeout(BEHIND_PROXY_MS)]);
  const found = await resolver.resolve(owner, host, patience).catch(() => []);
  signal.throwIfAborted();
  // The proxy may take any of them.
  if (found.some(({ address }) => networks.isRefused(address))) throw privateAddress(host, port, listed(found));
}

function checkAddress({ host, port, isNamedAddress }: Destination, networks: PrivateNetworks): LookupAddress {
  if (!isNamedAddress && networks.isRefused(host)) throw privateAddress(host, port);
  return { address: host, family: isIP(host) };
}

/** For the log. */
function listed(found: readonly LookupAddress[]): Error {
  return new Error(`resolved to ${found.map(({ address }) => address).join(', ')}`);
}
