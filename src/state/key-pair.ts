import { generateKeyPairSync, type KeyObject } from 'node:crypto';

/** Key by which control planes of a group know each other, for one run. */
export interface KeyPair {
  readonly privateKey: KeyObject;
  /** In base64url, as SPKI. */
  readonly publicKey: string;
}

export function newKeyPair(): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  return { privateKey, publicKey: publicKey.export({ format: 'der', type: 'spki' }).toString('base64url') };
}
