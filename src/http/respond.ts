import type { Context } from 'hono';
import { type GloveboxError, toGloveboxError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Env } from './route.ts';

/**
 * WWW-Authenticate header. It has no `error`, which would distinguish a wrong key from a missing one, and no
 * `resource_metadata` (RFC 9728), because there is no authorization server for keys.
 */
const CHALLENGE = 'Bearer realm="glovebox"';

/** Answers whose headers are complete. */
const complete = new WeakSet<Response>();

/** Makes an answer in JSON with all its headers, which are sent as they are. That costs less than to look at them again. */
export function jsonAnswer(body: unknown): Response {
  const headers = { 'content-type': 'application/json', 'cache-control': 'no-store' };
  const answer = new Response(JSON.stringify(body), { headers });
  complete.add(answer);
  return answer;
}

/** Whether an answer came from `jsonAnswer`. */
export function hasAllHeaders(answer: Response): boolean {
  return complete.has(answer);
}

/**
 * Makes the answer `{error: {code, message, hint}}`, with the status of the code and `Retry-After` if it is known.
 * @param challenge header `WWW-Authenticate`; with status 401, by default that for keys
 */
export function errorResponse(
  error: GloveboxError,
  challenge = error.status === 401 ? CHALLENGE : undefined,
): Response {
  const headers = {
    ...(challenge === undefined ? {} : { 'WWW-Authenticate': challenge }),
    ...(error.retryAfterS === undefined ? {} : { 'Retry-After': String(error.retryAfterS) }),
  };
  return Response.json({ error: error.toRestBody() }, { status: error.status, headers });
}

/** Converts a thrown value to an error for the caller. The cause of an internal error goes to the log only. */
export function reportError(thrown: unknown, c: Context<Env>, log: Log): GloveboxError {
  const error = toGloveboxError(thrown);
  if (error.code === 'internal_error') {
    // Once its client has gone, a call may fail in any way. This is not a defect.
    const level = c.req.raw.signal.aborted ? 'debug' : 'error';
    log[level]('A request failed.', {
      owner: c.get('owner'),
      method: c.req.method,
      path: c.req.path,
      cause: error.cause,
    });
  }
  return error;
}
