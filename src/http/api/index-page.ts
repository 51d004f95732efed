import type { Context } from 'hono';
import { prefers } from '../accept.ts';
import type { Env, Route } from '../route.ts';

const ABOUT = 'Runs untrusted Python in sealed containers, over REST and MCP.';
const STYLE =
  'body{font:16px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em}td{padding:0 1em 0 0}';

/** What a listing shows. */
interface Listing {
  readonly version: string;
  readonly routes: readonly Route[];
  /** Protections that sandboxes lack, as the operator allows. */
  readonly missing: readonly string[];
}

/** `GET /`: lists the routes as text, JSON or, where the page of `dashboard/` has not been built, HTML. */
export function indexRoute(
  version: string,
  routes: () => readonly Route[],
  missing: () => readonly string[] = () => [],
): Route {
  return {
    method: 'GET',
    path: '/',
    id: 'listRoutes',
    tag: 'Server',
    summary: 'List the routes as text, JSON or HTML, by the Accept header.',
    forApprovers: true,
    handle: (c) => {
      c.header('Vary', 'Accept', { append: true });
      const preferred = prefers(c.req.header('accept') ?? '');
      const listing = { version, routes: routes(), missing: missing() };
      if (preferred === 'application/json') return c.json(toJson(listing));
      return preferred === 'text/html' ? toPage(c, listing) : c.text(toText(listing));
    },
  };
}

function warningOf({ missing }: Listing): string {
  return missing.length === 0 ? '' : `The sandboxes of this server are not sealed as asked: ${missing.join(', ')}.`;
}

function toText(listing: Listing): string {
  const { version, routes } = listing;
  const warning = warningOf(listing);
  const lines = routes.map(({ method, path, summary }) => `${method.padEnd(6)} ${path.padEnd(16)} ${summary}\n`);
  return `Glovebox ${version}: runs untrusted Python in sealed containers, over REST and MCP.\n\n${warning === '' ? '' : `${warning}\n\n`}${lines.join('')}`;
}

function toJson({ version, routes, missing }: Listing): object {
  return {
    name: 'glovebox',
    version,
    description: ABOUT,
    openapi: '/openapi.json',
    ...(missing.length > 0 ? { missing } : {}),
    routes: routes.map(({ method, path, summary }) => ({ method, path, summary })),
  };
}

function toPage(c: Context<Env>, listing: Listing): Response {
  const { version, routes } = listing;
  const warning = warningOf(listing);
  const rows = routes.map(({ method, path, summary }) => {
    const shown = `<code>${escapeHtml(path)}</code>`;
    const isPlain = method === 'GET' && !/[:*]/.test(path) && path !== '/sse' && path !== '/mcp';
    const link = isPlain ? `<a href="${escapeHtml(path)}">${shown}</a>` : shown;
    return `<tr><td>${method}</td><td>${link}</td><td>${escapeHtml(summary)}</td></tr>`;
  });
  c.header('Content-Security-Policy', "default-src 'none'; style-src 'unsafe-inline'");
  c.header('X-Content-Type-Options', 'nosniff');
  return c.html(
    `<!doctype html><html lang="en"><meta charset="utf-8"><title>Glovebox</title><style>${STYLE}</style>` +
      `<h1>Glovebox ${escapeHtml(version)}</h1><p>${ABOUT}</p>${warning === '' ? '' : `<p><strong>${escapeHtml(warning)}</strong></p>`}<table>${rows.join('\n')}</table></html>`,
  );
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
