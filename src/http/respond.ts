import type { Context } from 'hono';
import { type GloveboxError, toGloveboxError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Env } from './route.ts';

/**
 * WWW-Authenticate header. It has no `error`, which would distinguish a wrong key from a missing one, and no
 * `resource_metadata` (RFC 9728), because there is no authorization server.
 */
const CHALLENGE = 'Bearer realm="glovebox"';

/** Makes the answer `{error: {code, message, hint}}`, with the status of the code and `Retry-After` if it is known. */
export function errorResponse(error: GloveboxError): Response {
  const headers = {
    ...(error.status === 401 ? { 'WWW-Authenticate': CHALLENGE } : {}),
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
      owner: c.var.owner,
      method: c.req.method,
      path: c.req.path,
      cause: error.cause,
    });
  }
  return error;
}
