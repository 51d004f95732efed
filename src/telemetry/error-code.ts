import { GloveboxError } from '../errors.ts';

/** A code of ours; texts of errors have other characters. */
const CODE = /^[a-z0-9][a-z0-9_]{0,63}$/;

/** The code of an error, or a code itself. Its text is left out: it may quote what a caller has sent. */
export function codeOf(error: unknown): string {
  if (error instanceof GloveboxError) return error.code;
  if (typeof error === 'string') return CODE.test(error) ? error : 'internal_error';
  if (!(error instanceof Error)) return 'internal_error';
  // An error of a tool, which has what code is told.
  if ('body' in error && error.body instanceof Object && 'code' in error.body) return codeOf(error.body.code);
  // An answer of HTTP.
  if ('status' in error && typeof error.status === 'number') return String(error.status);
  return error.name === 'AbortError' ? 'cancelled' : 'internal_error';
}
