import { createPublicKey, diffieHellman, hkdfSync } from 'node:crypto';
import type { KeyPair } from '../state/key-pair.ts';
import type { ControlPlane } from '../state/state.ts';

/** Bytes of a key. */
const KEY_BYTES = 32;
/** Keys of pairs that are kept: more than there are control planes at any time. */
const MOST_KEPT = 256;

/** Makes the keys that a control plane has in common with each other one, and with nobody else. */
export class PeerKeys {
  readonly #own: KeyPair;
  readonly #pairs = new Map<string, Buffer>();

  constructor(own: KeyPair) {
    this.#own = own;
  }

  /**
   * Returns the key of 32 bytes that this control plane and another have in common. Undefined if the other's public key
   * is none.
   * @param self name of the own run
   */
  keyFor(self: string, other: ControlPlane): Buffer | undefined {
    const names = JSON.stringify([self, other.name].sort());
    const pair = `${names}\n${other.publicKey}`;
    const known = this.#pairs.get(pair) ?? this.#derive(names, other.publicKey);
    if (!known) return undefined;
    if (this.#pairs.size >= MOST_KEPT) this.#pairs.clear();
    this.#pairs.set(pair, known);
    return known;
  }

  #derive(names: string, other: string): Buffer | undefined {
    try {
      const publicKey = createPublicKey({ key: Buffer.from(other, 'base64url'), type: 'spki', format: 'der' });
      const shared = diffieHellman({ privateKey: this.#own.privateKey, publicKey });
      // Sorted, so that both have the same key, and the same names with other keys give another.
      const keys = [this.#own.publicKey, other].sort().join(' ');
      return Buffer.from(hkdfSync('sha256', shared, keys, `glovebox peers ${names}`, KEY_BYTES));
    } catch {
      return undefined;
    }
  }
}
