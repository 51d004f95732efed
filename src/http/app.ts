import { Hono } from 'hono';
import { serverStopping } from '../errors.ts';
import { createLiveness } from './api/health.ts';
import { indexRoute } from './api/index-page.ts';
import { type RestOptions, restRoutes } from './api/routes.ts';
import { type Authenticate, unauthorized } from './auth/auth.ts';
import { answerWhileRead, discardBody, readBody } from './body.ts';
import { howTaken } from './body-type.ts';
import { createGuard, type GuardOptions } from './guard.ts';
import { checkQuery } from './query.ts';
import type { RequestRate } from './request-rate.ts';
import { errorResponse, reportError } from './respond.ts';
import type { Env, Handler, Route } from './route.ts';
import { allowed, routeFor, routesAt, unknownRoute } from './routing.ts';

export interface AppOptions extends GuardOptions, Omit<RestOptions, 'keepAliveMs'> {
  readonly authenticate: Authenticate;
  /** Of each owner; no limit if left out. */
  readonly requestRate?: RequestRate;
  /** Longest request, for every route that takes a body. */
  readonly maxBodyBytes: number;
  /** MCP as its layer serves it. */
  readonly mcp: {
    /** Every method on `/mcp`. */
    readonly streamable: Handler;
    /** `GET /sse` and `POST /messages`. */
    readonly sse: Handler;
    readonly messages: Handler;
  };
  /** Refuses what comes from now on over connections that are still open. */
  readonly closing: AbortSignal;
  /** Between two comments on a silent stream. */
  readonly keepAliveMs?: number;
}

/** All that is served over HTTP; every way in passes the same guard, authentication and limit. */
export function createApp(options: AppOptions): Hono<Env> {
  const app = new Hono<Env>();
  const rest = restRoutes({ keepAliveMs: 15_000, ...options });
  const routes: Route[] = [indexRoute(options.version, () => routes), ...rest, ...mcpRoutes(options.mcp)];
  frameAnswers(app, options.closing);
  protect(app, options);
  lead(app, routes, options);
  for (const { method, path, handle } of routes) app.on(method, path, handle);
  app.all('/mcp', options.mcp.streamable); // Answers other methods in its own words.
  app.notFound((c) => unknownRoute(c, routes));
  app.onError((thrown, c) => errorResponse(reportError(thrown, c, options.log)));
  return app;
}

/**
 * How an answer comes and whether its connection stays is for Node to say, which knows the client's version and wish.
 * A server that ends is not kept by clients that go on calling over the connections they have; nor is a connection used
 * again over which the rest of a refused body would come.
 */
function frameAnswers(app: Hono<Env>, closing: AbortSignal): void {
  app.use(async (c, next) => {
    if (closing.aborted) c.res = errorResponse(serverStopping());
    else await next();
    const { headers } = c.res;
    headers.delete('transfer-encoding');
    if (headers.get('connection') !== 'close') headers.delete('connection');
    const leavesBody = c.res.status >= 400 && !isReading(c.req.method) && c.env.incoming?.complete === false;
    if (leavesBody && c.res.status !== 408) c.res = await answerWhileRead(c.res, c.var.rest ?? discardBody(c.req.raw));
    if (leavesBody || closing.aborted) c.res.headers.set('Connection', 'close');
  });
}

function protect(app: Hono<Env>, options: AppOptions): void {
  const guard = createGuard(options);
  app.use(async (c, next) => {
    guard.check(c.req.raw);
    const cors = Object.entries(guard.corsHeaders(c.req.raw));
    // A preflight carries no credentials: it is answered before they are asked for.
    if (c.req.method === 'OPTIONS' && c.req.header('access-control-request-method')) {
      return c.body(null, 204, Object.fromEntries(cors));
    }
    await next();
    for (const [name, value] of cors) {
      if (name === 'Vary') c.res.headers.append(name, value);
      else c.res.headers.set(name, value);
    }
    // A cache on the way may know nothing of X-API-Key, and hand one owner's answer to another.
    if (!c.res.headers.has('cache-control')) c.res.headers.set('Cache-Control', 'no-store');
    return undefined;
  });
  const answerWhetherAlive = createLiveness(options.health);
  app.use(async (c, next) => {
    const owner = await options.authenticate(c.req.raw, c.env.outgoing);
    if (owner === undefined) {
      if (c.req.path === '/health' && isReading(c.req.method)) return await answerWhetherAlive(c);
      // Where clients look for an authorization server there is none, which is not the same as no access.
      if (c.req.path.startsWith('/.well-known/')) return unknownRoute(c, []);
      throw unauthorized();
    }
    c.set('owner', owner);
    // Whether the server works may be asked at any time; a look that runs code is a request like others.
    if (c.req.path !== '/health' || c.req.query('deep') !== undefined) options.requestRate?.take(owner);
    await next();
    return undefined;
  });
}

/** Says what a request asks for in vain before its body is read: first the method, then the query, then the type. */
function lead(app: Hono<Env>, routes: readonly Route[], { maxBodyBytes, stallMs }: AppOptions): void {
  app.use(async (c, next) => {
    const here = routesAt(c.req.path, routes);
    if (c.req.method === 'OPTIONS' && here.length > 0) return c.body(null, 204, { Allow: allowed(here) });
    const route = routeFor(c.req.method, here);
    if (!route) {
      if (!here.some(({ isMcp }) => isMcp)) return unknownRoute(c, routes);
    } else if (route.isMcp) {
      if (c.req.method === 'POST') c.set('body', await readBody(c, maxBodyBytes, stallMs));
    } else {
      checkQuery(c, route);
      if (howTaken(c.req.raw, route) === 'text') c.set('body', await readBody(c, maxBodyBytes, stallMs));
    }
    await next();
    return undefined;
  });
}

function isReading(method: string): boolean {
  return method === 'GET' || method === 'HEAD';
}

function mcpRoutes(mcp: AppOptions['mcp']): Route[] {
  const streamable = { path: '/mcp', handle: mcp.streamable };
  const routes: Route[] = [
    { method: 'POST', summary: 'MCP, streamable HTTP.', ...streamable },
    { method: 'GET', summary: 'The stream of an MCP session.', ...streamable },
    { method: 'DELETE', summary: 'End an MCP session.', ...streamable },
    { method: 'GET', path: '/sse', summary: 'MCP, the older HTTP+SSE.', handle: mcp.sse },
    { method: 'POST', path: '/messages', summary: 'Where clients of /sse post.', handle: mcp.messages },
  ];
  return routes.map((route) => ({ ...route, isMcp: true }));
}
