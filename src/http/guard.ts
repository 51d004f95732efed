import { GloveboxError } from '../errors.ts';

export interface GuardOptions {
  /** Values of the Host header that are allowed, besides loopback names. */
  readonly allowedHosts: readonly string[];
  /** Browser origins that are allowed, besides loopback ones, such as `https://chat.example.com`. */
  readonly allowedOrigins: readonly string[];
}

export interface Guard {
  /**
   * Refuses requests that a web page of another site made a browser send, by DNS rebinding or across origins.
   * @throws GloveboxError `forbidden`
   */
  check(request: Request): void;
  /** The CORS headers for a request that passed `check`; none without an origin. */
  corsHeaders(request: Request): Record<string, string>;
}

const LOOPBACK = /^(localhost|\[::1\]|127(\.\d{1,3}){3})$/;
const ALLOWED_METHODS = 'GET, HEAD, POST, PUT, DELETE';
/** Headers of an answer that pages may read. Browsers hide all others. */
const EXPOSED_HEADERS = [
  'Mcp-Session-Id',
  'WWW-Authenticate',
  'Location',
  'Retry-After',
  'Allow',
  'ETag',
  'Accept-Ranges',
  'Content-Range',
  'Content-Disposition',
  'X-Left-Out',
  'Idempotency-Replayed',
].join(', ');

export function createGuard(options: GuardOptions): Guard {
  const hosts = new Set(options.allowedHosts.map((host) => host.toLowerCase()));
  const origins = new Set(options.allowedOrigins.map((origin) => origin.toLowerCase().replace(/\/$/, '')));
  return {
    check: (request) => {
      checkHost(request.headers.get('host'), hosts);
      checkOrigin(request, origins);
    },
    corsHeaders: (request) => corsHeaders(request),
  };
}

function checkHost(header: string | null, allowed: ReadonlySet<string>): void {
  const host = (header ?? '').toLowerCase();
  const name = host.replace(/:\d*$/, '');
  if (LOOPBACK.test(name) || allowed.has(name) || allowed.has(host)) return;
  throw new GloveboxError(
    'forbidden',
    `This server does not accept requests for the host ${JSON.stringify(host.slice(0, 255))}.`,
    {
      hint: 'Use a loopback address, or ask the operator to add the host name to GLOVEBOX_ALLOWED_HOSTS.',
    },
  );
}

function checkOrigin(request: Request, allowed: ReadonlySet<string>): void {
  const origin = request.headers.get('origin')?.toLowerCase();
  if (origin === undefined) {
    // Browsers send no Origin with simple GET requests, as for images and scripts. Sec-Fetch-Site tells where they come
    // from. Following a link is allowed, because no other page can read the answer.
    const foreign = request.headers.get('sec-fetch-site') === 'cross-site';
    if (!foreign || request.headers.get('sec-fetch-mode') === 'navigate') return;
  } else if (allowed.has(origin) || isLoopbackOrigin(origin) || isOwnOrigin(request, origin)) return;
  throw new GloveboxError(
    'forbidden',
    `Pages from ${JSON.stringify((origin ?? 'another site').slice(0, 255))} may not use this server.`,
    {
      hint: 'Ask the operator to add the origin to GLOVEBOX_ALLOWED_ORIGINS.',
    },
  );
}

/**
 * Whether the page is one of this server, whose host has been checked. Browsers that tell whether it is the same origin
 * are believed: behind the same host, `http` is not `https`.
 */
function isOwnOrigin({ headers }: Request, origin: string): boolean {
  const host = headers.get('host')?.toLowerCase() ?? '';
  const isSameHost = origin === `http://${host}` || origin === `https://${host}`;
  return isSameHost && (headers.get('sec-fetch-site') ?? 'same-origin') === 'same-origin';
}

function isLoopbackOrigin(origin: string): boolean {
  const match = /^https?:\/\/(.+?)(:\d+)?$/.exec(origin);
  return match !== null && LOOPBACK.test(match[1] ?? '');
}

function corsHeaders(request: Request): Record<string, string> {
  const origin = request.headers.get('origin');
  if (origin === null) return {};
  const headers: Record<string, string> = {
    'Access-Control-Allow-Origin': origin,
    'Access-Control-Expose-Headers': EXPOSED_HEADERS,
    Vary: 'Origin',
  };
  if (request.method !== 'OPTIONS') return headers;
  headers['Access-Control-Allow-Methods'] = ALLOWED_METHODS;
  const asked = request.headers.get('access-control-request-headers');
  if (asked) headers['Access-Control-Allow-Headers'] = asked;
  if (request.headers.get('access-control-request-private-network') === 'true') {
    headers['Access-Control-Allow-Private-Network'] = 'true';
  }
  headers['Access-Control-Max-Age'] = '600';
  return headers;
}
