import { readFileSync } from 'node:fs';
import { GloveboxError } from '../errors.ts';
import { Chain } from './chain.ts';

/** Bytes that a key has at least. */
const LEAST_KEY_BYTES = 32;

/** Makes the chain of a log. @param keyFile file of its key, if it has one. @throws GloveboxError `invalid_input` without one */
export function chainWith(keyFile: string | undefined): Chain {
  if (keyFile === undefined) return new Chain();
  const key = readKey(keyFile);
  if (key.length >= LEAST_KEY_BYTES) return new Chain(key);
  throw new GloveboxError('invalid_input', `The key of the audit log in ${keyFile} is shorter than 32 bytes.`, {
    hint: `Make one with: openssl rand -base64 32 > ${keyFile}`,
  });
}

/** Spaces around it are no part of it: editors and shells end a file with a line. */
function readKey(file: string): Buffer {
  try {
    return Buffer.from(readFileSync(file, 'latin1').trim(), 'latin1');
  } catch (cause) {
    throw new GloveboxError('invalid_input', `The key of the audit log in ${file} cannot be read.`, {
      hint: `Make one with: openssl rand -base64 32 > ${file}`,
      cause,
    });
  }
}
