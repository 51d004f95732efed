import { GloveboxError } from '../errors.ts';

/**
 * Who calls.
 * @throws GloveboxError `unauthorized` when the request does not show it.
 */
export type Authenticate = (request: Request) => Promise<string>;

/** The owner of everything where authentication is off. */
export const LOCAL_OWNER = 'local';

export function createAuthenticator(auth: 'none' | undefined): Authenticate {
  if (auth !== undefined && auth !== 'none') {
    throw new GloveboxError('invalid_input', `Authentication "${String(auth)}" is not available.`);
  }
  return async () => LOCAL_OWNER;
}
