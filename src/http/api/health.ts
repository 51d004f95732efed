import type { Context } from 'hono';
import { isSet } from '../query.ts';
import type { Env, Handler, Route } from '../route.ts';
import { jsonResponse, SWITCH } from './openapi-parts.ts';

/** Whether the server can do its job, and what there is to say about it; `deep` runs code in a sandbox. */
export type Health = (deep: boolean) => Promise<{ ok: boolean; body: object }>;

const ANY_OBJECT = { type: 'object' } as const;
/** How old an answer to callers without a key may be: their number must not become the engine's load. */
const FRESH_MS = 1000;

/** `GET /health` for those who may call. */
export function healthRoute(health: Health): Route {
  return {
    method: 'GET',
    path: '/health',
    id: 'checkHealth',
    tag: 'Server',
    summary: 'Whether code can run here; ?deep=1 runs some.',
    operation: {
      parameters: [{ name: 'deep', in: 'query', required: false, schema: SWITCH }],
      responses: { ...jsonResponse(200, 'It can.', ANY_OBJECT), ...jsonResponse(503, 'It cannot.', ANY_OBJECT) },
    },
    handle: async (c) => {
      const { ok, body } = await health(isSet(c, 'deep'));
      return answer(c, ok, body);
    },
  };
}

/** `GET /health` for those who may not call, such as a supervisor of containers: the status and nothing else. */
export function createLiveness(health: Health): Handler {
  let asked: Promise<{ ok: boolean }> | undefined;
  let askedAt = 0;
  return async (c) => {
    if (!asked || Date.now() - askedAt > FRESH_MS) {
      askedAt = Date.now();
      asked = health(false);
    }
    const { ok } = await asked;
    return answer(c, ok, { status: ok ? 'ok' : 'unavailable' });
  };
}

function answer(c: Context<Env>, ok: boolean, body: object): Response {
  return c.json(body, ok ? 200 : 503, { 'Cache-Control': 'no-store' });
}
