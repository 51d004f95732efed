import type { Context } from 'hono';
import type { Audit, AuditEntry } from '../audit/audit.ts';
import { toGloveboxError } from '../errors.ts';
import type { Env, Route } from './route.ts';

/** Routes whose calls of tools are kept as such. */
const CALLS_TOOLS: ReadonlySet<string> = new Set(['/execute', '/execute/stream']);

/** Makes a route of which an audit log keeps each request that changes something; also a WebSocket, as of a terminal. */
export function auditRoute(route: Route, audit: Audit | undefined): Route {
  if (!audit || CALLS_TOOLS.has(route.path)) return route;
  return {
    ...route,
    handle: async (c) => {
      if (route.method === 'GET' && c.env?.upgrade === undefined) return await route.handle(c);
      await audit.admit();
      const began = new Date().toISOString();
      const begin = performance.now();
      const keep = async (outcome: Pick<AuditEntry, 'outcome' | 'error' | 'session'>) =>
        await audit.record({
          ...{ event: 'call', began, owner: c.get('owner'), transport: 'rest' },
          operation: `${route.method} ${route.path}`,
          ...{ ...namedIn(c, route), ...outcome, duration_ms: Math.round(performance.now() - begin) },
        });
      try {
        const answer = await route.handle(c);
        await keep({ outcome: answer.status < 400 ? 'ok' : 'failed', ...madeSession(answer) });
        return answer;
      } catch (error) {
        await keep({ outcome: c.req.raw.signal.aborted ? 'cancelled' : 'failed', error: toGloveboxError(error).code });
        throw error;
      }
    },
  };
}

function namedIn(c: Context<Env>, { path }: Route): Pick<AuditEntry, 'session' | 'execution'> {
  const id = c.req.param('id');
  if (path.startsWith('/sessions/:id')) return { session: id };
  return path.startsWith('/executions/:id') ? { execution: id } : {};
}

/** The session that a request has made. */
function madeSession({ headers }: Response): Pick<AuditEntry, 'session'> {
  const [, id] = /^\/sessions\/([\w-]+)$/.exec(headers.get('location') ?? '') ?? [];
  return id === undefined ? {} : { session: id };
}
