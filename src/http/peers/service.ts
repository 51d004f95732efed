import { getRequestListener } from '@hono/node-server';
import type { Hono } from 'hono';
import type { Log } from '../../log.ts';
import type { PeerService } from '../../peers/listener.ts';
import type { Locator, Sought } from '../../peers/peer.ts';
import { readForwarded } from '../../peers/word.ts';
import type { Env } from '../route.ts';
import { createUpgrades } from '../terminals/upgrades.ts';

export interface PeerServiceOptions {
  readonly app: Hono<Env>;
  readonly locator: Pick<Locator, 'mayServe'>;
  readonly has: (owner: string, sought: Sought) => boolean;
  /** Aborts when the server shuts down. */
  readonly closing: AbortSignal;
  readonly log: Log;
}

/** Serves requests that other control planes pass on, by the app that serves all others. */
export function createPeerService({ app, locator, has, closing, log }: PeerServiceOptions): PeerService {
  const forwardedIn = (incoming: Parameters<PeerService['serve']>[0]): Pick<Env['Bindings'], 'forwarded'> => {
    const forwarded = readForwarded(incoming.headers);
    return forwarded ? { forwarded } : {};
  };
  const serve = getRequestListener((request, env) => {
    const bindings = env as Env['Bindings'] & { incoming: Parameters<PeerService['serve']>[0] };
    return app.fetch(request, { ...bindings, ...forwardedIn(bindings.incoming) });
  });
  const upgrade = createUpgrades({ fetch: (request, env) => app.fetch(request, env), log, closing });
  return {
    mayServe: ({ owner, session }) => !closing.aborted && (session === undefined || locator.mayServe(owner, session)),
    has: ({ owner, seeks }) => seeks !== undefined && has(owner, seeks),
    serve: (request, response) => void serve(request, response),
    upgrade: (request, socket, head) => upgrade(request, socket, head, forwardedIn(request)),
  };
}
