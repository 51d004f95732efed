import { type GloveboxError, toGloveboxError } from '../errors.ts';
import type { Log } from '../log.ts';

/** `{error: {code, message, hint}}` with the table's status. */
export function errorResponse(error: GloveboxError, headers: Record<string, string> = {}): Response {
  return Response.json({ error: error.toBody() }, { status: error.status, headers });
}

/** What callers may know of a thrown value; what they may not goes to the log. */
export function reportError(thrown: unknown, log: Log, fields: Record<string, unknown>): GloveboxError {
  const error = toGloveboxError(thrown);
  if (error.code === 'internal_error') log.error('A request failed.', { ...fields, cause: error.cause });
  return error;
}
