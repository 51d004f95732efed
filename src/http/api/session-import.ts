import type { Context } from 'hono';
import type { SessionSummary, Sessions } from '../../sessions/sessions.ts';
import type { Snapshots } from '../../sessions/snapshots.ts';
import { RequestBody } from '../body.ts';
import type { Env } from '../route.ts';
import { sessionNameSchema } from './openapi-parts.ts';

export interface ImportOptions {
  readonly sessions: Sessions;
  readonly snapshots: Snapshots;
  /** Size of a session's disk. */
  readonly diskMb: number;
  /** How long the tar may bring no byte; a minute if left out. */
  readonly stallMs?: number;
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
  schema: sessionNameSchema,
};

/** Makes a session of the tar that the request carries, as it comes. */
export async function importSession(
  c: Context<Env>,
  { snapshots, diskMb, stallMs }: ImportOptions,
): Promise<SessionSummary> {
  const body = new RequestBody(c.req.raw, stallMs);
  try {
    body.checkLength(diskMb * MIB * TAR_SIZE);
    return await snapshots.import(c.var.owner, c.req.query('name'), body.chunks(diskMb * MIB * TAR_SIZE), diskMb * MIB);
  } catch (error) {
    c.set('rest', body.discard());
    throw error;
  }
}
