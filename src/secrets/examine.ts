import { statSync } from 'node:fs';
import { attempt, type Finding } from '../lib/finding.ts';
import { keyOf, keyPath, openSecret, readSecrets, type SecretsPlace, secretsPath } from './file.ts';

const WHAT = 'secrets';

/** Tells whether the secrets of a state directory can be used, and only by this user. None is named if there are none. */
export async function examineSecrets(place: SecretsPlace): Promise<readonly Finding[]> {
  return await attempt(WHAT, async () => {
    const file = readSecrets(place);
    if (file.secrets.length === 0) return [];
    for (const secret of file.secrets) openSecret(place, () => keyOf(place, file), secret);
    const findings = [secretsPath(place), keyPath(place)].flatMap(examineMode);
    const count = file.secrets.length;
    return [['ok', WHAT, `${count} secret${count === 1 ? '' : 's'} can be decrypted`], ...findings];
  });
}

function examineMode(path: string): Finding[] {
  const mode = statSync(path, { throwIfNoEntry: false })?.mode ?? 0;
  if ((mode & 0o077) === 0) return [];
  return [['warn', WHAT, `${path} can be read by other users`, `Run: chmod 600 ${path}`]];
}
