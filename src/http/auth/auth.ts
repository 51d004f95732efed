import { GloveboxError } from '../../errors.ts';
import { LOCAL_OWNER } from '../../sessions/caller.ts';

/** An answer that is being sent, and that can be cut off. */
export interface Answer {
  destroy(): unknown;
  once(event: 'close', listener: () => void): unknown;
}

/** Whose a request is. */
export interface Admitted {
  readonly owner: string;
  /** How its caller has logged in, for the audit log: `key:ID`. Left out where nobody has to. */
  readonly login?: string | undefined;
}

/**
 * Finds whose a request is. Undefined when the request has no key.
 * @param answer answer to the request; it is cut off when the key is revoked or expires
 * @throws GloveboxError `unauthorized` when the key is not valid
 */
export type Authenticate = (request: Request, answer?: Answer) => Promise<Admitted | undefined>;

/** Finds the id of a key, and its name, which is its owner. */
interface Keys {
  find(key: string, answer?: Answer): { readonly id: string; readonly name: string } | undefined;
}

/** There are none: callers log in, and whoever sends a key is told so. */
export const NO_KEYS: Keys = {
  find: () => {
    throw loginRequired();
  },
};

/** Requires a key, as `Authorization: Bearer` or `X-API-Key`. Without `keys`, all callers are the same owner. */
export function createAuthenticator(keys?: Keys): Authenticate {
  if (!keys) return async () => ({ owner: LOCAL_OWNER });
  return async ({ headers }, answer) => {
    const sent = sentKeys(headers);
    if (sent.size === 0) return undefined;
    const [key = ''] = sent;
    // With two different keys, it is not clear which one is meant.
    const found = sent.size === 1 ? keys.find(key, answer) : undefined;
    if (!found) throw unauthorized();
    return { owner: found.name, login: keyLogin(found.id) };
  };
}

/** Who may answer questions of people's approval. */
export interface Approver extends Pick<Admitted, 'login'> {
  readonly name: string;
  /** Owner whose questions it may answer. Default: everybody's. */
  readonly owner?: string | undefined;
}

/** Finds who answers questions, by a key for that. Undefined when the request has no such key. */
export type FindApprover = (request: Request, answer?: Answer) => Approver | undefined;

/** Keys that may answer questions. */
export interface ApproverKeys {
  find(
    key: string,
    answer?: Answer,
  ): { readonly id: string; readonly name: string; readonly for?: string | undefined } | undefined;
}

export function createApproverFinder(keys: ApproverKeys): FindApprover {
  return ({ headers }, answer) => {
    const sent = sentKeys(headers);
    const [key = ''] = sent;
    const found = sent.size === 1 ? keys.find(key, answer) : undefined;
    return (
      found && { name: found.name, login: keyLogin(found.id), ...(found.for === undefined ? {} : { owner: found.for }) }
    );
  };
}

function keyLogin(id: string): string {
  return `key:${id}`;
}

/** The same error for a missing, a wrong, an expired and a revoked key. */
export function unauthorized(): GloveboxError {
  return new GloveboxError('unauthorized', 'This server requires a key, and the request has no valid one.');
}

/** The refusal of a request without a token, or with what is none. */
export function loginRequired(): GloveboxError {
  return new GloveboxError('unauthorized', 'This server requires a token of its identity provider.', {
    hint: 'Log in: GET /.well-known/oauth-protected-resource says where. MCP clients do so by themselves.',
  });
}

/** Returns what a request has as a key or token. Several are told apart, so that none is chosen. */
export function sentKeys(headers: Headers): Set<string> {
  const bearer = /^Bearer +(\S+) *$/i.exec(headers.get('authorization') ?? '')?.[1];
  const sent = [bearer, headers.get('x-api-key')?.trim()];
  return new Set(sent.filter((key): key is string => key !== undefined && key !== ''));
}
