import { randomBytes } from 'node:crypto';
import { GloveboxError } from '../errors.ts';

/** Name that an owner gives to a session. Handles made by the server begin with `gbx_`. */
const NAME = /^(?!gbx_)[A-Za-z0-9_-]{1,64}$/;
const GOOD_NAME = 'a name of 1 to 64 letters, digits, "_" or "-" that does not begin with "gbx_"';
/** Name of the session that calls without a session share. */
export const DEFAULT_NAME = 'default';

/** Returns a new handle with 144 random bits. */
export function mintHandle(): string {
  return `gbx_${randomBytes(18).toString('base64url')}`;
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
