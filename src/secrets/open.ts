import type { Log } from '../log.ts';
import { encryptSecrets } from './changes.ts';
import type { SecretsPlace } from './file.ts';
import { Secrets } from './secrets.ts';

/** Opens the secrets of a state directory. Those that an earlier release has kept as they are become encrypted. */
export function openSecrets(place: SecretsPlace, log: Log): Secrets {
  try {
    if (encryptSecrets(place)) log.info('secrets that an earlier release kept as they are, are encrypted now');
  } catch (error) {
    log.warn('secrets of an earlier release cannot be encrypted', { error });
  }
  return new Secrets(place);
}
