import type { RequestListener } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import { indexRoute } from './api/index-page.ts';
import { type RestOptions, restRoutes } from './api/routes.ts';
import { createRequestHandler, type RequestHandlerOptions } from './request-handler.ts';
import { errorResponse, reportError } from './respond.ts';
import type { Env, Handler, Route } from './route.ts';

export interface AppOptions extends RequestHandlerOptions, Omit<RestOptions, 'keepAliveMs'> {
  /** Handlers of the MCP layer. */
  readonly mcp: {
    /** Handler of every method on `/mcp`. */
    readonly streamable: Handler;
    /** Handler of `GET /sse`. */
    readonly sse: Handler;
    /** Handler of `POST /messages`. */
    readonly messages: Handler;
  };
  /** Interval between two keep-alive comments on a silent stream, in milliseconds; 15 s by default. */
  readonly keepAliveMs?: number;
  /** Protections that sandboxes lack, as the operator allows. */
  readonly missing?: () => readonly string[];
}

const MCP_PATH = '/mcp';

/** Makes the HTTP server's app. Every route has the same guard, authentication and rate limit. */
export function createApp(options: AppOptions): Hono<Env> {
  const app = new Hono<Env>();
  const rest = restRoutes({ keepAliveMs: 15_000, ...options });
  const index = indexRoute(options.version, () => routes, options.missing);
  const routes: Route[] = [index, ...rest, ...mcpRoutes(options.mcp)];
  const answer = createRequestHandler(options, routes);
  // One handler for each request, which Hono calls directly; a chain of middleware costs more than most routes.
  for (const { method, path } of routes) if (path !== MCP_PATH) app.on(method, path, answer);
  app.all(MCP_PATH, answer); // MCP answers other methods with its own errors.
  app.notFound(answer);
  app.onError((thrown, c) => errorResponse(reportError(thrown, c, options.log)));
  return app;
}

/** The listener of an HTTP server that passes its requests to an app. */
export function toListener(app: Hono<Env>): RequestListener {
  return getRequestListener(app.fetch);
}

function mcpRoutes(mcp: AppOptions['mcp']): Route[] {
  const streamable = { path: MCP_PATH, answersAll: true, handle: mcp.streamable } as const;
  const routes: Route[] = [
    { method: 'POST', summary: 'MCP over streamable HTTP.', ...streamable },
    { method: 'GET', summary: 'The stream of an MCP session.', ...streamable },
    { method: 'DELETE', summary: 'End an MCP session.', ...streamable },
    { method: 'GET', path: '/sse', summary: 'MCP over the older HTTP+SSE transport.', handle: mcp.sse },
    { method: 'POST', path: '/messages', summary: 'Messages from clients of /sse.', handle: mcp.messages },
  ];
  return routes.map((route) => ({ ...route, isMcp: true }));
}
