import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { GloveboxError } from '../errors.ts';
import type { ArchiveKey } from './files/encryption.ts';

const KEY_BYTES = 32;

/**
 * Returns what gives the keys of a file, one a line, the newest last. The file is read again when it changes.
 * @throws GloveboxError `invalid_input` when it has none; it shows nothing of the content
 */
export function openKeys(path: string): () => readonly ArchiveKey[] {
  let [version, keys] = [versionOf(path), readKeys(path)];
  return () => {
    const now = versionOf(path);
    if (now === undefined || now === version) return keys;
    // A file that is half written, or broken, does not take the keys away that are known.
    try {
      [version, keys] = [now, readKeys(path)];
    } catch {}
    return keys;
  };
}

function versionOf(path: string): string | undefined {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stats && `${stats.ino}.${stats.mtimeNs}.${stats.size}`;
}

function readKeys(path: string): readonly ArchiveKey[] {
  try {
    const lines = readFileSync(path, 'latin1').split(/\s+/).filter(Boolean);
    if (lines.length === 0) throw new Error('it is empty');
    return lines.map(parseKey);
  } catch (cause) {
    throw new GloveboxError('invalid_input', `The file ${path} holds no keys of archives.`, {
      hint: 'Write 32 random bytes in base64 into it, one key a line, the newest last: head -c 32 /dev/urandom | base64',
      cause,
    });
  }
}

function parseKey(text: string): ArchiveKey {
  const bytes = /^[0-9a-f]{64}$/i.test(text) ? Buffer.from(text, 'hex') : Buffer.from(text, 'base64');
  if (!/^[A-Za-z0-9+/_=-]+$/.test(text) || bytes.length !== KEY_BYTES)
    throw new Error(`a line is not ${KEY_BYTES} bytes in base64 or hexadecimal`);
  return { id: createHash('sha256').update('glovebox archives').update(bytes).digest('hex').slice(0, 16), bytes };
}
