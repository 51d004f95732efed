import type { Context } from 'hono';
import { GloveboxError } from '../../errors.ts';
import type { Env, Route } from '../route.ts';
import { routeFor, routesAt } from '../routing.ts';
import { sentKeys } from './auth.ts';
import type { Login } from './jwt/login.ts';
import type { TokenHolder } from './jwt/tokens.ts';
import { type Scope, scopeName, suffices } from './scopes.ts';

/** Returns the token of a request. Undefined if it has none, or something else beside it. */
export function tokenOf({ headers }: Request): string | undefined {
  const [sent, ...others] = sentKeys(headers);
  return sent !== undefined && others.length === 0 && isToken(sent) ? sent : undefined;
}

/** Whether something that was sent has the form of a token. Keys have no dots. An empty signature is refused later. */
function isToken(sent: string): boolean {
  return /^[\w-]+\.[\w-]+\.[\w-]*$/.test(sent);
}

/**
 * Finds the holder of a token, and who that is to the route: an owner, or somebody who may only answer questions.
 * @throws GloveboxError `unauthorized`, `issuer_unavailable`, or `forbidden` if the token does not have the scope
 */
export async function admitHolder(c: Context<Env>, token: string, login: Login, routes: readonly Route[]) {
  const holder = await login.tokens.holderOf(token, c.env.outgoing);
  c.set('owner', holder.owner);
  const route = routeOf(c, routes);
  const needed = scopeFor(c, route);
  if (route?.forApprovers && mayAnswer(holder)) {
    // Those who watch over the server answer for everybody.
    const isOperator = holder.scopes.has('operate');
    c.set('approver', { name: holder.owner, ...(isOperator ? {} : { owner: holder.owner }) });
    return;
  }
  if (needed === 'approve' && holder.scopes.has('approve')) throw mayRunAndAnswer();
  if (suffices(holder.scopes, needed)) return;
  c.set('missingScope', needed);
  throw new GloveboxError('forbidden', `The token does not have the scope ${scopeName(needed)}.`, {
    hint: `Log in again and ask for the scope ${scopeName(needed)}; the operator of the identity provider grants it.`,
  });
}

/** As with keys: what runs code could else answer for the person whom it is to ask. */
function mayAnswer({ scopes }: TokenHolder): boolean {
  return scopes.has('approve') && !scopes.has('run');
}

function mayRunAndAnswer(): GloveboxError {
  return new GloveboxError('forbidden', 'A token that may run code may not answer questions of code.', {
    hint: `Log in again and ask for ${scopeName('approve')} without ${scopeName('run')}.`,
  });
}

/** Returns the header `WWW-Authenticate` of a refusal. Undefined for one that a login does not change. */
export function challengeFor(
  error: GloveboxError,
  c: Context<Env>,
  login: Login,
  routes: readonly Route[],
): string | undefined {
  const { missingScope } = c.var;
  if (error.status !== 401 && missingScope === undefined) return undefined;
  const scope = missingScope ?? scopeFor(c, routeOf(c, routes));
  return login.resource.challenge(error, c.req.path, scope, tokenOf(c.req.raw) !== undefined);
}

function routeOf(c: Context<Env>, routes: readonly Route[]): Route | undefined {
  return routeFor(c.req.method, routesAt(c.req.path, routes));
}

/** Returns the scope that a request to a route needs: by default `read` for what changes nothing, and else `run`. */
function scopeFor(c: Context<Env>, route: Route | undefined): Scope {
  if (!route || route.isMcp) return 'run';
  if (route.needs) return route.needs;
  // A deep check of health runs code.
  if (route.path === '/health' && c.req.query('deep') !== undefined) return 'run';
  return route.method === 'GET' ? 'read' : 'run';
}
