import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { withFileLock } from '../lib/file-lock.ts';
import { replaceFile, targetOfLink } from '../lib/replace-file.ts';

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const CIPHER = 'aes-256-gcm';

/** A key that encrypts secrets. Its identifier tells which secrets are its own, and nothing of the key. */
export interface SecretsKey {
  readonly id: string;
  readonly bytes: Buffer;
}

/** An encrypted text: what makes it differ from other encryptions of the same, and the text with its proof, in base64. */
export interface Sealed {
  readonly nonce: string;
  readonly sealed: string;
}

/**
 * Reads the keys of a file, one a line: while the key is being changed, there are two. None if there is no such file.
 * @throws Error that does not show the content
 */
export function readKeys(path: string): readonly SecretsKey[] {
  let text: string;
  try {
    text = readFileSync(path, 'latin1').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return text.split(/\s+/).map(parseKey);
}

function parseKey(text: string): SecretsKey {
  const bytes = /^[0-9a-f]{64}$/i.test(text) ? Buffer.from(text, 'hex') : Buffer.from(text, 'base64');
  if (!/^[A-Za-z0-9+/_=-]+$/.test(text) || bytes.length !== KEY_BYTES)
    throw new Error(`it is not ${KEY_BYTES} bytes in base64 or hexadecimal`);
  return { id: idOf(bytes), bytes };
}

/** Reads the newest key of a file, or makes one that nobody else can read. */
export function readOrMakeKey(path: string): SecretsKey {
  const read = () => readKeys(path).at(-1);
  return read() ?? withFileLock(path, () => read() ?? makeKeyIn(path));
}

function makeKeyIn(path: string): SecretsKey {
  const key = makeKey();
  writeKeys(path, [key]);
  return key;
}

export function makeKey(): SecretsKey {
  const bytes = randomBytes(KEY_BYTES);
  return { id: idOf(bytes), bytes };
}

/** Writes keys into a file that nobody else can read. They are on the disk when this returns. */
export function writeKeys(path: string, keys: readonly SecretsKey[]): void {
  const text = keys.map(({ bytes }) => `${bytes.toString('base64')}\n`).join('');
  const target = targetOfLink(path);
  replaceFile(target, text, { flush: true, mode: 0o600 });
  flushDirectory(dirname(target));
}

/** Has a renamed file on the disk before anything relies on it. */
export function flushDirectory(path: string): void {
  const directory = openSync(path, 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

function idOf(bytes: Buffer): string {
  return createHash('sha256').update('glovebox secrets').update(bytes).digest('hex').slice(0, 16);
}

/** Encrypts a text. @param about what it belongs to, without which it cannot be decrypted */
export function seal({ bytes }: SecretsKey, text: string, about: string): Sealed {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, bytes, nonce).setAAD(Buffer.from(about));
  const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
  return { nonce: nonce.toString('base64'), sealed: sealed.toString('base64') };
}

/** Decrypts a text. Undefined if it was changed, or belongs to something else. */
export function unseal({ bytes }: SecretsKey, { nonce, sealed }: Sealed, about: string): string | undefined {
  const all = Buffer.from(sealed, 'base64');
  if (all.length < TAG_BYTES) return undefined;
  const options = { authTagLength: TAG_BYTES };
  try {
    const decipher = createDecipheriv(CIPHER, bytes, Buffer.from(nonce, 'base64'), options)
      .setAAD(Buffer.from(about))
      .setAuthTag(all.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(all.subarray(0, -TAG_BYTES)), decipher.final()]).toString('utf8');
  } catch {
    return undefined;
  }
}
