import { existsSync, statSync } from 'node:fs';
import { GloveboxError } from '../errors.ts';
import { attempt, type Finding } from '../lib/finding.ts';
import { keyOf, keyPath, openSecret, readSecrets, type SecretsPlace, type StoredSecret, secretsPath } from './file.ts';
import type { SecretsKey } from './key.ts';

const WHAT = 'secrets';
const MAKE_IT = 'Run: glovebox secret set NAME. Or name another file.';
const SET_ANEW = 'Set the secrets anew; the log names one that a request needs.';

/** Tells whether the secrets of a state directory can be used, and only by this user. None is named if there are none. */
export async function examineSecrets(place: SecretsPlace): Promise<readonly Finding[]> {
  return await attempt(WHAT, async () => {
    const file = readSecrets(place);
    if (place.secretsFile !== undefined && !existsSync(secretsPath(place)))
      return [['warn', WHAT, `${secretsPath(place)}, of GLOVEBOX_SECRETS_FILE, is not there`, MAKE_IT]];
    if (file.secrets.length === 0) return [];
    const isEncrypted = file.secrets.some(({ value }) => typeof value !== 'string');
    const key = isEncrypted ? keyOf(place, file) : undefined;
    // Every owner may ask a server, and none is to hear of the secrets of others.
    const state: Finding = file.secrets.every((secret) => canOpen(place, key, secret))
      ? ['ok', WHAT, 'secrets can be decrypted']
      : ['fail', WHAT, `${secretsPath(place)} was changed by something other than Glovebox`, SET_ANEW];
    return [state, ...[secretsPath(place), keyPath(place)].flatMap(examineMode)];
  });
}

function canOpen(place: SecretsPlace, key: SecretsKey | undefined, secret: StoredSecret): boolean {
  try {
    openSecret(place, key, secret);
    return true;
  } catch (error) {
    if (error instanceof GloveboxError) return false;
    throw error;
  }
}

function examineMode(path: string): Finding[] {
  const { mode = 0, uid } = statSync(path, { throwIfNoEntry: false }) ?? {};
  // One that another user keeps for this one, as a cluster does with a Secret, is read by its group.
  const others = uid === process.getuid?.() ? 0o077 : 0o007;
  if ((mode & others) === 0) return [];
  return [['warn', WHAT, `${path} can be read by other users`, `Run: chmod 600 ${path}`]];
}
