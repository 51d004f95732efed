import type { Context } from 'hono';
import { type GloveboxError, toGloveboxError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Env } from './route.ts';

/**
 * Without `error`, which would tell a wrong key from none, and without `resource_metadata` (RFC 9728):
 * there is no authorization server to ask for a key.
 */
const CHALLENGE = 'Bearer realm="glovebox"';

/** `{error: {code, message, hint}}` with the table's status, and `Retry-After` where it is known. */
export function errorResponse(error: GloveboxError): Response {
  const headers = {
    ...(error.status === 401 ? { 'WWW-Authenticate': CHALLENGE } : {}),
    ...(error.retryAfterS === undefined ? {} : { 'Retry-After': String(error.retryAfterS) }),
  };
  return Response.json({ error: error.toRestBody() }, { status: error.status, headers });
}

/** What callers may know of a thrown value; what they may not goes to the log. */
export function reportError(thrown: unknown, c: Context<Env>, log: Log): GloveboxError {
  const error = toGloveboxError(thrown);
  if (error.code === 'internal_error') {
    // A call may fail in any way once its client has gone: no defect of ours.
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
