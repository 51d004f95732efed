import type { Context } from 'hono';
import { GloveboxError } from '../../errors.ts';
import type { Sessions } from '../../sessions/sessions.ts';
import { isTar } from '../body-type.ts';
import { parseJsonObject } from '../json.ts';
import type { Env, Route } from '../route.ts';
import { jsonResponse, SNAPSHOT_PATTERN, schemaRef, sessionNameSchema, sessionParameter } from './openapi-parts.ts';
import { type ImportOptions, importSession, nameParameter, TAR } from './session-import.ts';

/** Longer than any handle or name is: not worth a look. */
const LONGEST_ID = 256;

const LOCATION = { Location: 'Its path.' };
const newSession = {
  type: 'object',
  properties: {
    name: sessionNameSchema,
    from_snapshot: {
      type: 'string',
      pattern: SNAPSHOT_PATTERN,
      description: 'A snapshot of yours, which the session begins as.',
    },
  },
  additionalProperties: false,
};

/** Making, listing, inspecting and closing sessions. */
export function sessionRoutes(options: ImportOptions): Route[] {
  const { sessions } = options;
  return [
    {
      method: 'POST',
      path: '/sessions',
      id: 'createSession',
      tag: 'Sessions',
      summary: 'Make a session: with a name or without, empty, from a snapshot, or from a tar (?name=).',
      operation: {
        parameters: [nameParameter],
        requestBody: { content: { 'application/json': { schema: newSession }, ...TAR } },
        responses: {
          ...jsonResponse(201, 'The new session.', schemaRef('Session'), LOCATION),
          ...jsonResponse(200, 'The session of that name that was there.', schemaRef('Session'), LOCATION),
        },
      },
      takes: ['json', 'tar'],
      handle: async (c) => {
        const { session, created } = isTar(c.req.raw)
          ? { session: await importSession(c, options), created: true }
          : await makeSession(c, options);
        const Location = `/sessions/${encodeURIComponent(session.session_id)}`;
        return c.json(session, created ? 201 : 200, { Location });
      },
    },
    {
      method: 'GET',
      path: '/sessions',
      id: 'listSessions',
      tag: 'Sessions',
      summary: 'Your sessions.',
      operation: {
        responses: jsonResponse(200, 'Your sessions.', {
          type: 'object',
          properties: { sessions: { type: 'array', items: schemaRef('Session') } },
          required: ['sessions'],
        }),
      },
      handle: (c) => c.json({ sessions: sessions.list(c.var.owner) }),
    },
    {
      method: 'GET',
      path: '/sessions/:id',
      id: 'getSession',
      tag: 'Sessions',
      summary: 'One session.',
      operation: {
        parameters: [sessionParameter],
        responses: jsonResponse(200, 'The session.', schemaRef('Session')),
      },
      handle: (c) => c.json(sessions.describe(c.var.owner, readId(c))),
    },
    {
      method: 'DELETE',
      path: '/sessions/:id',
      id: 'closeSession',
      tag: 'Sessions',
      summary: 'Close a session: what runs in it ends, what it holds is gone.',
      operation: { parameters: [sessionParameter], responses: { 204: { description: 'Closed.' } } },
      handle: async (c) => {
        await sessions.close(c.var.owner, readId(c));
        return c.body(null, 204);
      },
    },
  ];
}

async function makeSession(c: Context<Env>, { sessions, snapshots }: ImportOptions): ReturnType<Sessions['create']> {
  const { name: field, from_snapshot: snapshot } = readFields(c, ['name', 'from_snapshot'], '{"name": "my-session"}');
  const parameter = c.req.query('name') || undefined;
  const name = field ?? parameter;
  if (parameter !== undefined && name !== parameter)
    throw new GloveboxError('invalid_input', 'The query parameter "name" and the field "name" are not the same.', {
      hint: 'Send one of them.',
    });
  if (snapshot === undefined) return await sessions.create(c.var.owner, name);
  return { session: await snapshots.open(c.var.owner, snapshot, name), created: true };
}

/** Optional texts of a body that may be left out. */
export function readFields<K extends string>(
  c: Context<Env>,
  known: readonly K[],
  example: string,
): Partial<Record<K, string>> {
  if (c.var.body.trim() === '') return {};
  const given = Object.entries(parseJsonObject(c.var.body, known, example));
  const fields = Object.fromEntries(given.filter(([, value]) => value !== null && value !== ''));
  for (const [name, value] of Object.entries(fields)) {
    if (typeof value === 'string') continue;
    throw new GloveboxError('invalid_input', `The field "${name}" must be a string.`, {
      hint: name === 'name' ? 'Leave it out to get a handle.' : 'Leave it out if you do not mean any.',
    });
  }
  return fields as Partial<Record<K, string>>;
}

/** @throws GloveboxError `session_not_found` for what is too long to be an id. */
export function readId(c: Context<Env>): string {
  const id = c.req.param('id') ?? '';
  if (id.length <= LONGEST_ID) return id;
  throw new GloveboxError('session_not_found', 'No session has an id as long as this.', {
    hint: 'See GET /sessions for those there are.',
  });
}
