import { GloveboxError } from '../../errors.ts';
import { LOCAL_OWNER } from '../../sessions/caller.ts';

/** An answer under way, which can be cut off. */
export interface Answer {
  destroy(): unknown;
  once(event: 'close', listener: () => void): unknown;
}

/**
 * Who calls: an owner, or undefined when the request shows nothing.
 * `answer` is cut off when what the request shows stops to hold before its end.
 * @throws GloveboxError `unauthorized` when the request shows what does not hold.
 */
export type Authenticate = (request: Request, answer?: Answer) => Promise<string | undefined>;

/** Finds the owner of a key. */
interface Keys {
  ownerOf(key: string, answer?: Answer): string | undefined;
}

/** Asks callers for a key, as `Authorization: Bearer` or as `X-API-Key`; without keys everybody is the same owner. */
export function createAuthenticator(keys?: Keys): Authenticate {
  if (!keys) return async () => LOCAL_OWNER;
  return async ({ headers }, answer) => {
    const shown = shownKeys(headers);
    if (shown.size === 0) return undefined;
    const [key = ''] = shown;
    // Of two keys, which one was meant is anyone's guess.
    const owner = shown.size === 1 ? keys.ownerOf(key, answer) : undefined;
    if (owner === undefined) throw unauthorized();
    return owner;
  };
}

/** One answer for a missing, a wrong, an expired and a revoked key. */
export function unauthorized(): GloveboxError {
  return new GloveboxError('unauthorized', 'This server asks for a key, and the request shows no valid one.');
}

function shownKeys(headers: Headers): Set<string> {
  const bearer = /^Bearer +(\S+) *$/i.exec(headers.get('authorization') ?? '')?.[1];
  const shown = [bearer, headers.get('x-api-key')?.trim()];
  return new Set(shown.filter((key): key is string => key !== undefined && key !== ''));
}
