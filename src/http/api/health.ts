import type { Context } from 'hono';
import { isSet } from '../query.ts';
import type { Env, Handler, Route } from '../route.ts';
import { jsonResponse, SWITCH } from './openapi-parts.ts';

/** Checks whether the server works, and gives the body of the answer. `deep` also runs code in a sandbox. */
export type Health = (deep: boolean) => Promise<{ ok: boolean; body: object }>;

const ANY_OBJECT = { type: 'object' } as const;
/** Milliseconds for which an answer to callers without a key is reused, so that many calls do not load the engine. */
const FRESH_MS = 1000;

/** `GET /health` for callers with a key. */
export function healthRoute(health: Health): Route {
  return {
    method: 'GET',
    path: '/health',
    id: 'checkHealth',
    tag: 'Server',
    summary: 'Check whether code can run; ?deep=1 runs some.',
    operation: {
      parameters: [{ name: 'deep', in: 'query', required: false, schema: SWITCH }],
      responses: {
        ...jsonResponse(200, 'Code can run.', ANY_OBJECT),
        ...jsonResponse(503, 'Code cannot run, or not yet.', ANY_OBJECT),
      },
    },
    handle: async (c) => {
      const { ok, body } = await health(isSet(c, 'deep'));
      return answer(c, ok, body);
    },
  };
}

/** `GET /health` for callers without a key, such as a container orchestrator: the status only. */
export function createLiveness(health: Health): Handler {
  let latest: Promise<{ ok: boolean }> | undefined;
  let checkedAt = 0;
  return async (c) => {
    if (!latest || Date.now() - checkedAt > FRESH_MS) {
      checkedAt = Date.now();
      latest = health(false);
    }
    const { ok } = await latest;
    return answer(c, ok, { status: ok ? 'ok' : 'unavailable' });
  };
}

function answer(c: Context<Env>, ok: boolean, body: object): Response {
  return c.json(body, ok ? 200 : 503, { 'Cache-Control': 'no-store' });
}
