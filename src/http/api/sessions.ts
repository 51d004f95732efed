import type { Context } from 'hono';
import { GloveboxError } from '../../errors.ts';
import type { SessionSummary, Sessions } from '../../sessions/sessions.ts';
import { isTar } from '../body-type.ts';
import { parseJsonObject } from '../json.ts';
import type { Env, Route } from '../route.ts';
import { readHosts, webSchema } from './hosts-field.ts';
import { jsonResponse, SNAPSHOT_PATTERN, schemaRef, sessionNameSchema, sessionParameter } from './openapi-parts.ts';
import { type ImportOptions, importSession, nameParameter, TAR } from './session-import.ts';

/** Characters of an id. A longer one cannot be the id of a session. */
const LONGEST_ID = 256;

const LOCATION = { Location: 'Path of the session.' };
const newSession = {
  type: 'object',
  properties: {
    name: sessionNameSchema,
    from_snapshot: {
      type: 'string',
      pattern: SNAPSHOT_PATTERN,
      description: 'One of your snapshots, whose files and packages the session starts with.',
    },
    web: webSchema,
  },
  additionalProperties: false,
};

/** Routes to create, list, inspect and close sessions. */
export function sessionRoutes(options: ImportOptions): Route[] {
  const { sessions } = options;
  return [
    {
      method: 'POST',
      path: '/sessions',
      id: 'createSession',
      tag: 'Sessions',
      summary: 'Create a session, with or without a name: empty, from a snapshot, or from a tar (?name=).',
      operation: {
        parameters: [nameParameter],
        requestBody: { content: { 'application/json': { schema: newSession }, ...TAR } },
        responses: {
          ...jsonResponse(201, 'The new session.', schemaRef('Session'), LOCATION),
          ...jsonResponse(200, 'The existing session with this name.', schemaRef('Session'), LOCATION),
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
    ...readingRoutes(sessions),
    {
      method: 'DELETE',
      path: '/sessions/:id',
      id: 'closeSession',
      tag: 'Sessions',
      summary: 'Close a session: its executions are ended, and its files are deleted.',
      operation: { parameters: [sessionParameter], responses: { 204: { description: 'Closed.' } } },
      handle: async (c) => {
        await sessions.close(c.var.owner, readId(c));
        return c.body(null, 204);
      },
    },
  ];
}

function readingRoutes(sessions: Sessions): Route[] {
  return [
    {
      method: 'GET',
      path: '/sessions',
      id: 'listSessions',
      tag: 'Sessions',
      summary: 'List your sessions.',
      operation: {
        responses: jsonResponse(200, 'Your sessions.', {
          type: 'object',
          properties: { sessions: { type: 'array', items: schemaRef('Session') } },
          required: ['sessions'],
        }),
      },
      handle: (c) => c.json({ sessions: sessions.list(c.var.owner).map((each) => withUsage(c, sessions, each)) }),
    },
    {
      method: 'GET',
      path: '/sessions/:id',
      id: 'getSession',
      tag: 'Sessions',
      summary: 'Get a session.',
      operation: {
        parameters: [sessionParameter],
        responses: jsonResponse(200, 'The session.', schemaRef('Session')),
      },
      handle: async (c) => {
        const session = await sessions.describe(c.var.owner, readId(c), { signal: c.req.raw.signal });
        return c.json(withUsage(c, sessions, session));
      },
    },
  ];
}

/** Adds its owner, and what it has used. */
function withUsage(c: Context<Env>, sessions: Sessions, session: SessionSummary) {
  const { owner } = c.var;
  const { cpuMs, peakMemoryBytes, savedBytes } = sessions.usageOf(owner, session.session_id);
  const usage = { cpu_ms: cpuMs, peak_memory_bytes: peakMemoryBytes, saved_bytes: savedBytes };
  return { ...session, owner, usage };
}

async function makeSession(c: Context<Env>, { sessions, snapshots }: ImportOptions): ReturnType<Sessions['create']> {
  const { web, ...fields } = readSession(c);
  const { name: field, from_snapshot: snapshot } = fields;
  const parameter = c.req.query('name') || undefined;
  const name = field ?? parameter;
  if (parameter !== undefined && name !== parameter)
    throw new GloveboxError('invalid_input', 'The query parameter "name" and the field "name" differ.', {
      hint: 'Send only one of them.',
    });
  if (snapshot === undefined) return await sessions.create(c.var.owner, name, web);
  return { session: await snapshots.open(c.var.owner, snapshot, name, web), created: true };
}

/** Reads the body of a new session, which may be empty. */
function readSession(c: Context<Env>): { name?: string; from_snapshot?: string; web?: readonly string[] | undefined } {
  const fields = readObject(c, ['name', 'from_snapshot', 'web'], '{"name": "my-session"}');
  const { web, ...texts } = fields;
  return { ...checkTexts(texts), web: readHosts(web) };
}

/** Reads optional strings from a body, which may be empty. */
export function readFields<K extends string>(
  c: Context<Env>,
  known: readonly K[],
  example: string,
): Partial<Record<K, string>> {
  return checkTexts(readObject(c, known, example));
}

/** Reads a body, which may be empty, without fields that have no value. */
function readObject(c: Context<Env>, known: readonly string[], example: string): Record<string, unknown> {
  if (c.var.body.trim() === '') return {};
  const given = Object.entries(parseJsonObject(c.var.body, known, example));
  return Object.fromEntries(given.filter(([, value]) => value !== null && value !== ''));
}

/** @throws GloveboxError `invalid_input` for a value that is no string */
function checkTexts<K extends string>(fields: Record<string, unknown>): Partial<Record<K, string>> {
  for (const [name, value] of Object.entries(fields)) {
    if (typeof value === 'string') continue;
    throw new GloveboxError('invalid_input', `The field "${name}" must be a string.`, {
      hint: name === 'name' ? 'Leave it out to get a handle.' : 'Leave it out if you do not need it.',
    });
  }
  return fields as Partial<Record<K, string>>;
}

/** Reads the id in the path. @throws GloveboxError `session_not_found` when it is too long for an id */
export function readId(c: Context<Env>): string {
  const id = c.req.param('id') ?? '';
  if (id.length <= LONGEST_ID) return id;
  throw new GloveboxError('session_not_found', 'This id is too long for a session.', {
    hint: 'GET /sessions lists your sessions.',
  });
}
