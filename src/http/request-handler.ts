import type { Context } from 'hono';
import { asLogin } from '../audit/current-login.ts';
import { GloveboxError, sayBegun, serverStopping } from '../errors.ts';
import type { RequestRate } from '../lib/request-rate.ts';
import type { Log } from '../log.ts';
import { SessionElsewhere } from '../sessions/lifecycle/locator.ts';
import { traceRequest } from '../telemetry/request-spans.ts';
import { isTracing } from '../telemetry/trace.ts';
import { createLiveness, type Health } from './api/health.ts';
import { type Authenticate, type FindApprover, loginRequired, unauthorized } from './auth/auth.ts';
import { markEventStream } from './auth/end-answer.ts';
import { admitHolder, challengeFor, tokenOf } from './auth/holders.ts';
import type { Login } from './auth/jwt/login.ts';
import { answerWhileRead, discardBody, readBody } from './body.ts';
import { bodyHandlingFor } from './body-type.ts';
import type { Page } from './dashboard/page.ts';
import { createGuard, type GuardOptions } from './guard.ts';
import { GIVEN_UP_HEADER, isGivenUp, wasGivenUp } from './peers/given-up.ts';
import type { Peers } from './peers/peers.ts';
import { rpcFailure } from './peers/rpc-failure.ts';
import { sendPieces } from './piece-body.ts';
import { checkQuery, isSet } from './query.ts';
import { errorResponse, hasAllHeaders, jsonAnswer, reportError } from './respond.ts';
import type { Env, Route } from './route.ts';
import { allowed, routeFor, routesAt, unknownRoute } from './routing.ts';

export interface RequestHandlerOptions extends GuardOptions {
  readonly authenticate: Authenticate;
  /** Finds callers who may only answer questions; there are none by default. */
  readonly findApprover?: FindApprover;
  /** Where callers log in; without it, there are no tokens. */
  readonly login?: Login | undefined;
  /** Limit on the requests of each owner; none if left out. */
  readonly requestRate?: RequestRate;
  /** Size in bytes of a JSON or MCP body. */
  readonly maxBodyBytes: number;
  /** Time in milliseconds without a byte after which the reading of a body is aborted. */
  readonly stallMs?: number;
  readonly health: Health;
  /** The page for browsers; without it, they get the list of routes. */
  readonly page?: Page;
  /** Aborts when the server shuts down. Requests on open connections are then refused. */
  readonly closing: AbortSignal;
  /** Passes requests on that other control planes of the group serve; without it, all are served here. */
  readonly peers?: Pick<Peers, 'pass' | 'complete'> | undefined;
  readonly log: Log;
}

/** Times that a request is served or passed on, while others make and claim the session that it is about. */
const MOST_ATTEMPTS = 3;

type AsyncHandler = (c: Context<Env>) => Promise<Response>;

/**
 * Makes the handler of all requests. It refuses foreign pages, finds the owner, counts the request, reads the body, calls
 * the route, and completes the headers of the answer.
 */
export function createRequestHandler(options: RequestHandlerOptions, routes: readonly Route[]): AsyncHandler {
  const { closing, login, log } = options;
  const guard = createGuard(options);
  const serve = createServer(options, routes);
  const serveForwarded: AsyncHandler = async (c) => {
    try {
      return await serveRoute(c, routes, options);
    } catch (thrown) {
      const error = reportError(thrown, c, log);
      const answer = errorResponse(error);
      // Whoever has passed it on may find another that serves it.
      if (isGivenUp(error, closing)) answer.headers.set(GIVEN_UP_HEADER, '1');
      return answer;
    }
  };
  return async (c) => {
    let answer: Response;
    let cors: Record<string, string> | undefined;
    try {
      if (closing.aborted) throw sayBegun(serverStopping(), false);
      if (c.env?.forwarded) return sendPieces(await finish(c, await serveForwarded(c), closing), c.env.outgoing);
      guard.check(c.req.raw);
      cors = guard.corsHeaders(c.req.raw);
      // A preflight request has no credentials, so it is answered before authentication.
      if (isPreflight(c)) return finish(c, c.body(null, 204, cors), closing);
      answer = await serve(c);
    } catch (thrown) {
      const error = reportError(thrown, c, log);
      answer = errorResponse(error, login && challengeFor(error, c, login, routes));
    }
    if (cors) addHeaders(answer, cors);
    if (isEventStream(answer)) markEventStream(c.env?.outgoing);
    return sendPieces(await finish(c, answer, closing), c.env?.outgoing);
  };
}

/** Serves requests that no foreign page has sent. */
function createServer(options: RequestHandlerOptions, routes: readonly Route[]): AsyncHandler {
  const { authenticate, findApprover, login, requestRate, page } = options;
  const answerLiveness = createLiveness(options.health);
  return async (c) => {
    const shown = page?.(c.req.raw, c.req.path);
    if (shown) return shown;
    const metadata = isReading(c.req.method) && login?.resource.metadataAt(c.req.path);
    if (metadata) return jsonAnswer(metadata);
    const token = login && tokenOf(c.req.raw);
    if (login && token !== undefined) {
      await admitHolder(c, token, login, routes);
      if (!isPlainHealth(c)) requestRate?.take(c.var.owner);
      return await asLogin(`jwt:${login.issuer}`, () => serveRoute(c, routes, options));
    }
    const approver = findApprover?.(c.req.raw, c.env.outgoing);
    if (approver) {
      const owner = `${approver.name} (approver)`;
      c.set('approver', approver);
      // Nobody's: no key has such a name.
      c.set('owner', owner);
      requestRate?.take(owner);
      return await asLogin(approver.login, () => serveRoute(c, routes, options));
    }
    const admitted = await authenticate(c.req.raw, c.env.outgoing);
    if (admitted === undefined) {
      if (c.req.path === '/health' && isReading(c.req.method)) return await answerLiveness(c);
      // Clients look here for an authorization server. This is none, so the answer is 404 and not 401.
      if (c.req.path.startsWith('/.well-known/')) return unknownRoute(c, []);
      throw login ? loginRequired() : unauthorized();
    }
    const { owner } = admitted;
    c.set('owner', owner);
    // Health checks are not limited, unless they run code.
    if (!isPlainHealth(c)) requestRate?.take(owner);
    return await asLogin(admitted.login, () => serveRoute(c, routes, options));
  };
}

/** Finds the route of a request. */
async function serveRoute(
  c: Context<Env>,
  routes: readonly Route[],
  options: RequestHandlerOptions,
): Promise<Response> {
  const { forwarded } = c.env ?? {};
  if (forwarded) {
    c.set('owner', forwarded.owner);
    if (forwarded.approver) c.set('approver', forwarded.approver);
  }
  const here = routesAt(c.req.path, routes);
  if (c.req.method === 'OPTIONS' && here.length > 0) return c.body(null, 204, { Allow: allowed(here) });
  // MCP answers other methods with its own errors.
  const route = routeFor(c.req.method, here) ?? here.find(({ answersAll }) => answersAll);
  if (!route) return unknownRoute(c, routes);
  if (c.var.approver && !route.forApprovers) throw mayOnlyAnswer();
  // Only what an authenticated caller sends has a span, so that strangers make none.
  if (!isTracing() || isPlainHealth(c)) return await answerRoute(c, route, options);
  const { method, url } = c.req;
  const request = { method, route: route.path, url, header: (name: string) => c.req.header(name) };
  return await traceRequest(request, () => answerRoute(c, route, options));
}

/** Checks a request before its body is read: first the query, then the type of the body. */
async function answerRoute(
  c: Context<Env>,
  route: Route,
  { maxBodyBytes, stallMs, peers, log }: RequestHandlerOptions,
): Promise<Response> {
  if (route.isMcp) {
    if (c.req.method === 'POST') c.set('body', await readBody(c, maxBodyBytes, stallMs));
  } else {
    checkQuery(c, route);
    if (bodyHandlingFor(c.req.raw, route) === 'text') c.set('body', await readBody(c, maxBodyBytes, stallMs));
  }
  if (!peers || c.env?.forwarded) return await route.handle(c);
  let attempt = 0;
  const serve = async () => {
    for (;;) {
      attempt += 1;
      const passed = await passOn(c, route, peers, log);
      if (passed) return passed;
      try {
        return await peers.complete(c, await route.handle(c));
      } catch (error) {
        // Another server was faster to make or to claim the session, and nothing of the request was done.
        const mayBeServed = error instanceof SessionElsewhere || (wasGivenUp(error) && !isUpload(c));
        if (!mayBeServed || attempt >= MOST_ATTEMPTS) throw error;
      }
    }
  };
  if (mayBeginAgain(c, route)) {
    c.set('again', async (ready) => {
      if (attempt >= MOST_ATTEMPTS) return undefined;
      try {
        await ready?.();
        return await serve();
      } catch (thrown) {
        return errorResponse(reportError(thrown, c, log));
      }
    });
  }
  return await serve();
}

/**
 * Whether a request begins a call with a stream, and can begin it once more. Not so a call whose standard input comes by
 * another request: that may have been taken.
 */
function mayBeginAgain(c: Context<Env>, route: Route): boolean {
  return route.isStream === true && !c.req.header('last-event-id') && !isSet(c, 'stdin');
}

/** Passes a request on to who serves it. Undefined if that is this control plane. */
async function passOn(
  c: Context<Env>,
  route: Route,
  peers: Pick<Peers, 'pass'>,
  log: Log,
): Promise<Response | undefined> {
  try {
    return await peers.pass(c);
  } catch (thrown) {
    if (!route.isMcp) throw thrown;
    return rpcFailure(c.var.body, reportError(thrown, c, log));
  }
}

function mayOnlyAnswer(): GloveboxError {
  return new GloveboxError('forbidden', 'This key may answer questions of approval, and do nothing else.', {
    hint: 'Answer with it at GET /approvals and POST /approvals/{id}. To run code, use another key: glovebox key new <name>',
  });
}

function addHeaders(answer: Response, cors: Readonly<Record<string, string>>): void {
  const added = Object.entries(cors);
  if (added.length === 0 && hasAllHeaders(answer)) return;
  const { headers } = answer;
  for (const [name, value] of added) {
    if (name === 'Vary') headers.append(name, value);
    else headers.set(name, value);
  }
  // A shared cache may ignore X-API-Key, and give the answer of one owner to another.
  if (!headers.has('cache-control')) headers.set('Cache-Control', 'no-store');
}

/**
 * Sets the framing of an answer. Node decides on chunked encoding and keep-alive, as it knows the client's HTTP version
 * and headers. A connection is closed after its answer when the server shuts down, or a refused body is still unread.
 */
async function finish(c: Context<Env>, answer: Response, closing: AbortSignal): Promise<Response> {
  if (!closing.aborted && hasAllHeaders(answer)) return answer;
  const { headers } = answer;
  headers.delete('transfer-encoding');
  if (headers.get('connection') !== 'close') headers.delete('connection');
  const leavesBody = answer.status >= 400 && !isReading(c.req.method) && c.env.incoming?.complete === false;
  const sent =
    leavesBody && answer.status !== 408
      ? await answerWhileRead(answer, c.get('rest') ?? discardBody(c.req.raw))
      : answer;
  if (leavesBody || closing.aborted) sent.headers.set('Connection', 'close');
  return sent;
}

function isEventStream({ headers }: Response): boolean {
  return headers.get('content-type')?.startsWith('text/event-stream') ?? false;
}

function isPlainHealth(c: Context<Env>): boolean {
  return c.req.path === '/health' && c.req.query('deep') === undefined;
}

function isPreflight(c: Context<Env>): boolean {
  return c.req.method === 'OPTIONS' && Boolean(c.req.header('access-control-request-method'));
}

/** Whether a request has a body that a route reads as it comes, and that cannot be read twice. */
function isUpload(c: Context<Env>): boolean {
  return (c.var.body as string | undefined) === undefined && !isReading(c.req.method) && c.req.method !== 'DELETE';
}

function isReading(method: string): boolean {
  return method === 'GET' || method === 'HEAD';
}
