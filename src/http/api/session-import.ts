import type { Context } from 'hono';
import type { SessionSummary, Sessions } from '../../sessions/sessions.ts';
import type { Snapshots } from '../../sessions/snapshots.ts';
import { RequestBody } from '../body.ts';
import type { Env } from '../route.ts';
import { sessionNameSchema } from './openapi-parts.ts';

export interface ImportOptions {
  readonly sessions: Sessions;
  readonly snapshots: Snapshots;
  /** Size of a session's disk, in MiB. */
  readonly diskMb: number;
  /** Time in milliseconds without a byte after which the upload is aborted; a minute by default. */
  readonly stallMs?: number;
}

const MIB = 2 ** 20;
/** Largest ratio of a tar's size to that of its files: each entry has a header, and more if its name is long. */
const TAR_RATIO = 2;

export const TAR = { 'application/x-tar': { schema: { type: 'string', format: 'binary' } } };
export const nameParameter = {
  name: 'name',
  in: 'query',
  required: false,
  description: 'Name of the new session, when it is sent as a tar.',
  schema: sessionNameSchema,
};

/** Makes a session from the tar in the body, while it is received. */
export async function importSession(
  c: Context<Env>,
  { snapshots, diskMb, stallMs }: ImportOptions,
): Promise<SessionSummary> {
  const body = new RequestBody(c.req.raw, stallMs, c.env.incoming);
  try {
    body.checkLength(diskMb * MIB * TAR_RATIO);
    return await snapshots.import(
      c.var.owner,
      c.req.query('name'),
      body.chunks(diskMb * MIB * TAR_RATIO),
      diskMb * MIB,
    );
  } catch (error) {
    c.set('rest', body.discard());
    throw error;
  }
}
