import { type Context, Hono } from 'hono';
import { GloveboxError, serverStopping } from '../errors.ts';
import { nearest } from '../nearest.ts';
import { type Authenticate, unauthorized } from './auth.ts';
import { isTar, readBody } from './body.ts';
import type { Env, Handler, Route } from './env.ts';
import { createGuard, type GuardOptions } from './guard.ts';
import { createLiveness } from './health.ts';
import type { RequestRate } from './request-rate.ts';
import { errorResponse, reportError } from './respond.ts';
import { type RestOptions, restRoutes } from './rest.ts';

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
  endConnections(app, options.closing);
  protect(app, options);
  for (const { method, path, handle } of routes) app.on(method, path, handle);
  app.all('/mcp', options.mcp.streamable); // Answers other methods in its own words.
  app.notFound((c) => unknownRoute(c, routes));
  app.onError((thrown, c) => {
    const error = reportError(thrown, c, options.log);
    const response = errorResponse(error);
    // A body of a declared length that is too long is never read, so nothing more can come over its connection.
    const unread = error.code === 'payload_too_large' && c.req.header('content-length') !== undefined;
    if (unread) response.headers.set('Connection', 'close');
    return response;
  });
  return app;
}

/** A server that ends is not kept by clients that go on calling over the connections they have. */
function endConnections(app: Hono<Env>, closing: AbortSignal): void {
  app.use(async (c, next) => {
    if (closing.aborted) c.res = errorResponse(serverStopping());
    else await next();
    if (closing.aborted) c.res.headers.set('Connection', 'close');
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
    for (const [name, value] of cors) c.res.headers.set(name, value);
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
    if (c.req.method === 'POST' && !carriesArchive(c)) c.set('body', await readBody(c.req.raw, options.maxBodyBytes));
    await next();
    return undefined;
  });
}

/** A session that is sent as a file: its body is no text, and is never held. */
function carriesArchive(c: Context<Env>): boolean {
  return c.req.path === '/sessions' && isTar(c);
}

function isReading(method: string): boolean {
  return method === 'GET' || method === 'HEAD';
}

function mcpRoutes(mcp: AppOptions['mcp']): Route[] {
  const streamable = { path: '/mcp', handle: mcp.streamable };
  return [
    { method: 'POST', summary: 'MCP, streamable HTTP.', ...streamable },
    { method: 'GET', summary: 'The stream of an MCP session.', ...streamable },
    { method: 'DELETE', summary: 'End an MCP session.', ...streamable },
    { method: 'GET', path: '/sse', summary: 'MCP, the older HTTP+SSE.', handle: mcp.sse },
    { method: 'POST', path: '/messages', summary: 'Where clients of /sse post.', handle: mcp.messages },
  ];
}

function indexRoute(version: string, routes: () => readonly Route[]): Route {
  return {
    method: 'GET',
    path: '/',
    summary: 'This list.',
    handle: (c) => {
      const lines = routes().map(({ method, path, summary }) => `${method.padEnd(6)} ${path.padEnd(16)} ${summary}\n`);
      return c.text(
        `Glovebox ${version}: untrusted Python in sealed containers, over REST and MCP.\n\n${lines.join('')}`,
      );
    },
  };
}

/** 405 with `Allow` for a path that there is, otherwise 404 with the nearest one. */
function unknownRoute(c: Context<Env>, routes: readonly Route[]): Response {
  const path = c.req.path;
  const here = routes.filter((route) => matches(route.path, path));
  if (here.length > 0) {
    const methods = here.flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
    const allow = [...new Set(methods)].join(', ');
    const error = new GloveboxError('invalid_input', `${c.req.method} is not served on ${path.slice(0, 100)}.`, {
      hint: `Use ${allow}.`,
    });
    return c.json({ error: error.toBody() }, 405, { Allow: allow });
  }
  const meant = nearest(path.slice(0, 64), new Set(routes.map((route) => route.path)));
  return errorResponse(
    new GloveboxError('not_found', `There is nothing at ${c.req.method} ${JSON.stringify(path.slice(0, 100))}.`, {
      hint: `${meant ? `Did you mean ${meant}? ` : ''}GET / lists what there is.`,
    }),
  );
}

function matches(pattern: string, path: string): boolean {
  const [expected, found] = [pattern.split('/'), path.split('/')];
  if (expected.at(-1) === '*') {
    expected.pop();
    found.splice(expected.length);
  }
  return (
    expected.length === found.length &&
    expected.every((part, at) => (part.startsWith(':') ? found[at] !== '' : part === found[at]))
  );
}
