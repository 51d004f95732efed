import { hash, randomBytes } from 'node:crypto';
import { GloveboxError } from '../errors.ts';
import { randomId } from '../lib/random-id.ts';

/** Name that an owner gives to a session. Handles made by the server begin with `gbx_`. */
const NAME = /^(?!gbx_)[A-Za-z0-9_-]{1,64}$/;
const GOOD_NAME = 'a name of 1 to 64 letters, digits, "_" or "-" that does not begin with "gbx_"';
/** Name of the session that calls without a session share. */
export const DEFAULT_NAME = 'default';

/** Returns a new handle with 144 random bits. */
export function mintHandle(): string {
  return `gbx_${randomBytes(18).toString('base64url')}`;
}

/**
 * Returns the id of a new execution: 48 random bits, and 24 that tell its session, which other servers of the service may
 * hold.
 */
export function mintExecutionId(sessionId: string): string {
  return `exe_${randomId(6)}${markOf(sessionId)}`;
}

/** Whether an execution may be of a session, as far as its id tells. */
export function mayBeOf(executionId: string, sessionId: string): boolean {
  return executionId.endsWith(markOf(sessionId));
}

function markOf(sessionId: string): string {
  return hash('sha256', sessionId, 'base64url').slice(0, 4);
}

/** Checks the name of a session. @throws GloveboxError `invalid_input` */
export function checkName(name: string): void {
  if (NAME.test(name)) return;
  const fault = name.startsWith('gbx_')
    ? 'A name may not begin with "gbx_", as handles do.'
    : `${quote(name)} is not a valid name.`;
  throw new GloveboxError('invalid_input', fault, { hint: `Use ${GOOD_NAME}, or leave it out to get a handle.` });
}

/** Checks the id of a session to create. @throws GloveboxError `session_not_found` for a handle, `invalid_input` for an invalid name */
export function checkNewId(id: string): void {
  if (id.startsWith('gbx_')) throw unknownSession(id);
  if (NAME.test(id)) return;
  throw new GloveboxError('invalid_input', `${quote(id)} is neither a session handle nor a valid name.`, {
    hint: `Use a session_id that a result gave you, or ${GOOD_NAME}.`,
  });
}

export function unknownSession(id: string): GloveboxError {
  return new GloveboxError('session_not_found', `Unknown or expired session ${quote(id)}.`);
}

function quote(id: string): string {
  return JSON.stringify(id.slice(0, 64));
}
