import { createHash } from 'node:crypto';
import { randomId } from './random-id.ts';

const TOKEN_BYTES = 32;

/** Makes a token that cannot be guessed, and the hash by which it is known. */
export function makeToken(): { readonly token: string; readonly hash: string } {
  const token = randomId(TOKEN_BYTES);
  return { token, hash: hashToken(token) };
}

/** Things that those who know their token can find. Only the hashes of tokens are kept. */
export class SecretTokens<T> {
  readonly #byHash = new Map<string, T>();

  set(hash: string, value: T): void {
    this.#byHash.set(hash, value);
  }

  find(token: string): T | undefined {
    return this.#byHash.get(hashToken(token));
  }

  delete(hash: string): void {
    this.#byHash.delete(hash);
  }

  values(): IterableIterator<T> {
    return this.#byHash.values();
  }
}

function hashToken(token: string): string {
  return createHash('sha256').update(token).digest('base64url');
}
