import { networkInterfaces } from 'node:os';
import ipaddr from 'ipaddr.js';
import { GloveboxError } from '../../errors.ts';
import { isInternalAddress } from '../../outbound/addresses.ts';

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Network = readonly [Address, number];

/** Names by which clouds give credentials to their machines, wherever they resolve to. */
const METADATA_NAMES = new Set([
  'metadata',
  'metadata.goog',
  'metadata.google.internal',
  'instance-data',
  'instance-data.ec2.internal',
]);
/** Address that these names have. */
const METADATA_ADDRESS = '169.254.169.254';
/** Address of Azure's agent, which looks like a public one. */
const METADATA_ADDRESSES = new Set(['168.63.129.16']);

/** Time for which the addresses of this machine are believed, in milliseconds: they are many where containers are. */
const OWN_ADDRESSES_MS = 10_000;

/** Addresses that are not public, and which of them code may reach all the same. */
export class PrivateNetworks {
  readonly #allowed: readonly Network[];
  readonly #addressesOfMachine: () => ReadonlySet<string>;
  #own: ReadonlySet<string> = new Set();
  /** Time of `performance.now()` until which the addresses of this machine are believed. */
  #ownUntil = 0;

  /**
   * @param texts addresses and networks that named hosts may have
   * @param addressesOfMachine addresses of this machine
   * @throws GloveboxError `invalid_input` for a text that is neither
   */
  constructor(texts: readonly string[], addressesOfMachine: () => ReadonlySet<string> = readAddressesOfMachine) {
    this.#allowed = texts.map(parseNetwork);
    this.#addressesOfMachine = addressesOfMachine;
  }

  /** Whether a connection to this address must not be made: it is not public, or of this machine, and not allowed. */
  isRefused(address: string): boolean {
    const usual = plain(address);
    const isPrivate = isInternalAddress(address) || METADATA_ADDRESSES.has(usual) || this.#ownAddresses().has(usual);
    return isPrivate && !this.#isAllowed(address);
  }

  /** Whether this name must not be asked for, whatever it resolves to: what asks may be a proxy, which resolves itself. */
  isRefusedName(name: string): boolean {
    if (METADATA_NAMES.has(name)) return !this.#isAllowed(METADATA_ADDRESS);
    const isLocal = name === 'localhost' || name.endsWith('.localhost');
    return isLocal && !this.#isAllowed('127.0.0.1') && !this.#isAllowed('::1');
  }

  /** What listens here may be meant for this machine alone, also at an address that is public. */
  #ownAddresses(): ReadonlySet<string> {
    const now = performance.now();
    if (now >= this.#ownUntil) {
      this.#own = this.#addressesOfMachine();
      this.#ownUntil = now + OWN_ADDRESSES_MS;
    }
    return this.#own;
  }

  #isAllowed(address: string): boolean {
    if (!ipaddr.isValid(address)) return false;
    const parsed = ipaddr.process(address);
    return this.#allowed.some(([network, bits]) => network.kind() === parsed.kind() && parsed.match(network, bits));
  }
}

function parseNetwork(text: string): Network {
  try {
    if (text.includes('/')) return ipaddr.parseCIDR(text);
    const address = ipaddr.process(text);
    // By itself, ipaddr.js would accept short addresses such as 127.1.
    if (address.kind() === 'ipv6' || /^\d+(\.\d+){3}$/.test(text))
      return [address, address.kind() === 'ipv6' ? 128 : 32];
  } catch {
    // Told below.
  }
  throw new GloveboxError(
    'invalid_input',
    `GLOVEBOX_EGRESS_PRIVATE: ${JSON.stringify(text)} is no address or network.`,
    {
      hint: 'Write addresses (10.1.2.3) and networks (10.1.0.0/16, fd00::/8), separated by commas.',
    },
  );
}

function readAddressesOfMachine(): ReadonlySet<string> {
  const all = Object.values(networkInterfaces()).flatMap((addresses = []) => addresses);
  return new Set(all.map(({ address }) => plain(address)));
}

/** The usual form of an address without its zone. */
function plain(address: string): string {
  const bare = address.replace(/%.*$/, '');
  return ipaddr.isValid(bare) ? ipaddr.process(bare).toString() : bare;
}
