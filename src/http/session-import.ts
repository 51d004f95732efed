import type { Context } from 'hono';
import type { SessionSummary, Sessions } from '../sandbox/sessions.ts';
import type { Env } from './env.ts';
import { RequestBody } from './file-upload.ts';

export interface ImportOptions {
  readonly sessions: Sessions;
  /** Size of a session's disk. */
  readonly diskMb: number;
}

const MIB = 2 ** 20;
/** Of a tar to what is in it: each entry has a header, and more if its name is long. */
const TAR_SIZE = 2;

export const TAR = { 'application/x-tar': { schema: { type: 'string', format: 'binary' } } };
export const nameParameter = {
  name: 'name',
  in: 'query',
  required: false,
  description: 'The name of a session that is sent as a tar.',
  schema: { type: 'string' },
};

/** Makes a session of the tar that the request carries, as it comes. */
export async function importSession(c: Context<Env>, { sessions, diskMb }: ImportOptions): Promise<SessionSummary> {
  const body = new RequestBody(c.req.raw);
  try {
    return await sessions.snapshots.import(
      c.var.owner,
      c.req.query('name'),
      body.chunks(diskMb * MIB * TAR_SIZE),
      diskMb * MIB,
    );
  } catch (error) {
    await body.discard();
    throw error;
  }
}
