import type { Config } from '../config/load.ts';
import { GloveboxError } from '../errors.ts';
import type { Glovebox } from '../glovebox.ts';
import type { PeersOptions } from '../http/peers/peers.ts';
import type { Log } from '../log.ts';
import type { Introduction, SharedState } from '../state/state.ts';
import { version } from '../version.ts';

/** Seconds after the end of a lease in which somebody takes over what it held. */
const TAKEOVER_S = 5;

/** Where other servers of the same sessions reach this one, and what they are told of it. */
interface OpenGroup extends AsyncDisposable {
  readonly introduction: Introduction;
  /** Called once this server has joined the others. */
  readonly onJoined: (state: SharedState) => void;
  /** Returns what a server needs to know of its group. */
  of(glovebox: Glovebox): PeersOptions;
}

/**
 * Listens for other servers of the same sessions, where there may be any.
 * @throws GloveboxError `invalid_input` when the address cannot be used
 */
export async function openGroup(
  { state, archives, peerAddress, peerPort, leaseS }: Config,
  log: Log,
): Promise<OpenGroup | undefined> {
  if (state === 'directory') return undefined;
  if (archives === 'directory')
    log.warn('the other servers do not see the archives of this one, as GLOVEBOX_ARCHIVES=directory allows');
  const { newKeyPair } = await import('../state/key-pair.ts');
  const { PeerKeys } = await import('../peers/keys.ts');
  const { listenForPeers } = await import('../peers/listener.ts');
  const pair = newKeyPair();
  const keys = new PeerKeys(pair);
  const listener = await listenForPeers({ host: peerAddress, port: peerPort }, keys);
  let group: SharedState | undefined;
  const join = async (glovebox: Glovebox) => {
    await glovebox.prepare();
    if (!group) throw new GloveboxError('engine_unavailable', 'This server has not joined the others of its service.');
    return { group, locator: glovebox.sessions.locator };
  };
  return {
    onJoined: (joined) => {
      group = joined;
    },
    introduction: { address: listener.address, publicKey: pair.publicKey, version },
    of: (glovebox) => ({ listener, keys, join: () => join(glovebox), patienceMs: (leaseS + TAKEOVER_S) * 1000 }),
    [Symbol.asyncDispose]: async () => await listener.close(),
  };
}
