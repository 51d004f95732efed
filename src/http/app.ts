import { Hono } from 'hono';
import { serverStopping } from '../errors.ts';
import { createLiveness } from './api/health.ts';
import { indexRoute } from './api/index-page.ts';
import { type RestOptions, restRoutes } from './api/routes.ts';
import { type Authenticate, unauthorized } from './auth/auth.ts';
import { answerWhileRead, discardBody, readBody } from './body.ts';
import { bodyHandlingFor } from './body-type.ts';
import { createGuard, type GuardOptions } from './guard.ts';
import { checkQuery } from './query.ts';
import type { RequestRate } from './request-rate.ts';
import { errorResponse, reportError } from './respond.ts';
import type { Env, Handler, Route } from './route.ts';
import { allowed, routeFor, routesAt, unknownRoute } from './routing.ts';

export interface AppOptions extends GuardOptions, Omit<RestOptions, 'keepAliveMs'> {
  readonly authenticate: Authenticate;
  /** Limit on the requests of each owner; none if left out. */
  readonly requestRate?: RequestRate;
  /** Size in bytes of a JSON or MCP body. */
  readonly maxBodyBytes: number;
  /** Handlers of the MCP layer. */
  readonly mcp: {
    /** Handler of every method on `/mcp`. */
    readonly streamable: Handler;
    /** Handler of `GET /sse`. */
    readonly sse: Handler;
    /** Handler of `POST /messages`. */
    readonly messages: Handler;
  };
  /** Aborts when the server shuts down. Requests on open connections are then refused. */
  readonly closing: AbortSignal;
  /** Interval between two keep-alive comments on a silent stream, in milliseconds; 15 s by default. */
  readonly keepAliveMs?: number;
}

/** Makes the HTTP server's app. Every route has the same guard, authentication and rate limit. */
export function createApp(options: AppOptions): Hono<Env> {
  const app = new Hono<Env>();
  const rest = restRoutes({ keepAliveMs: 15_000, ...options });
  const routes: Route[] = [indexRoute(options.version, () => routes), ...rest, ...mcpRoutes(options.mcp)];
  finishAnswers(app, options.closing);
  protect(app, options);
  checkRoutes(app, routes, options);
  for (const { method, path, handle } of routes) app.on(method, path, handle);
  app.all('/mcp', options.mcp.streamable); // MCP answers other methods with its own errors.
  app.notFound((c) => unknownRoute(c, routes));
  app.onError((thrown, c) => errorResponse(reportError(thrown, c, options.log)));
  return app;
}

/**
 * Sets the framing of answers. Node decides on chunked encoding and keep-alive, as it knows the client's HTTP version
 * and headers. A connection is closed after its answer when the server shuts down, or a refused body is still unread.
 */
function finishAnswers(app: Hono<Env>, closing: AbortSignal): void {
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
    // A preflight request has no credentials, so it is answered before authentication.
    if (c.req.method === 'OPTIONS' && c.req.header('access-control-request-method')) {
      return c.body(null, 204, Object.fromEntries(cors));
    }
    await next();
    for (const [name, value] of cors) {
      if (name === 'Vary') c.res.headers.append(name, value);
      else c.res.headers.set(name, value);
    }
    // A shared cache may ignore X-API-Key, and give the answer of one owner to another.
    if (!c.res.headers.has('cache-control')) c.res.headers.set('Cache-Control', 'no-store');
    return undefined;
  });
  const answerLiveness = createLiveness(options.health);
  app.use(async (c, next) => {
    const owner = await options.authenticate(c.req.raw, c.env.outgoing);
    if (owner === undefined) {
      if (c.req.path === '/health' && isReading(c.req.method)) return await answerLiveness(c);
      // Clients look here for an authorization server. There is none, so the answer is 404 and not 401.
      if (c.req.path.startsWith('/.well-known/')) return unknownRoute(c, []);
      throw unauthorized();
    }
    c.set('owner', owner);
    // Health checks are not limited, unless they run code.
    if (c.req.path !== '/health' || c.req.query('deep') !== undefined) options.requestRate?.take(owner);
    await next();
    return undefined;
  });
}

/** Checks a request before its body is read: first the path and method, then the query, then the type of the body. */
function checkRoutes(app: Hono<Env>, routes: readonly Route[], { maxBodyBytes, stallMs }: AppOptions): void {
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
      if (bodyHandlingFor(c.req.raw, route) === 'text') c.set('body', await readBody(c, maxBodyBytes, stallMs));
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
    { method: 'POST', summary: 'MCP over streamable HTTP.', ...streamable },
    { method: 'GET', summary: 'The stream of an MCP session.', ...streamable },
    { method: 'DELETE', summary: 'End an MCP session.', ...streamable },
    { method: 'GET', path: '/sse', summary: 'MCP over the older HTTP+SSE transport.', handle: mcp.sse },
    { method: 'POST', path: '/messages', summary: 'Messages from clients of /sse.', handle: mcp.messages },
  ];
  return routes.map((route) => ({ ...route, isMcp: true }));
}
