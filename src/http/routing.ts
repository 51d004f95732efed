import type { Context } from 'hono';
import { GloveboxError } from '../errors.ts';
import { nearest } from '../lib/nearest.ts';
import { errorResponse } from './respond.ts';
import type { Env, Route } from './route.ts';

/** The routes of a path, for all methods. */
export function routesAt(path: string, routes: readonly Route[]): Route[] {
  const found = path.split('/');
  return routes.filter((route) => matches(route.path, path, found));
}

/** The route for a method among the routes of a path. HEAD uses the route of GET. */
export function routeFor(method: string, here: readonly Route[]): Route | undefined {
  const served = method === 'HEAD' ? 'GET' : method;
  return here.find((route) => route.method === served);
}

/** The methods of a path, as listed in the `Allow` header. */
export function allowed(here: readonly Route[]): string {
  const methods = here.flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
  return [...new Set(methods)].join(', ');
}

/** Answers 405 with `Allow` when the path exists, and otherwise 404 with the most similar path. */
export function unknownRoute(c: Context<Env>, routes: readonly Route[]): Response {
  const path = c.req.path;
  const here = routesAt(path, routes);
  if (here.length > 0) {
    const allow = allowed(here);
    const error = new GloveboxError('invalid_input', `${c.req.method} is not allowed on ${path.slice(0, 100)}.`, {
      hint: `Use ${allow}.`,
    });
    return c.json({ error: error.toRestBody() }, 405, { Allow: allow });
  }
  const meant = nearest(path.slice(0, 64), new Set(routes.map((route) => route.path)));
  return errorResponse(
    new GloveboxError('not_found', `There is nothing at ${c.req.method} ${JSON.stringify(path.slice(0, 100))}.`, {
      hint: `${meant ? `Did you mean ${meant}? ` : ''}GET / lists all routes.`,
    }),
  );
}

/** @param found the path's parts */
function matches(pattern: string, path: string, found: readonly string[]): boolean {
  if (!pattern.includes(':') && !pattern.endsWith('*')) return pattern === path;
  const expected = pattern.split('/');
  const isOpen = expected.at(-1) === '*' && found.length >= expected.length;
  if (isOpen) expected.pop();
  return (
    (isOpen || expected.length === found.length) &&
    expected.every((part, at) => (part.startsWith(':') ? found[at] !== '' : part === found[at]))
  );
}
