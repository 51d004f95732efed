import type { Context } from 'hono';
import { GloveboxError } from '../errors.ts';
import type { Sessions } from '../sandbox/sessions.ts';
import type { Env, Route } from './env.ts';
import { parseJsonObject, requireJson } from './json.ts';
import { jsonBody, jsonResponse, schemaRef, sessionParameter } from './openapi-parts.ts';

/** Longer than any handle or name is: not worth a look. */
const LONGEST_ID = 256;

/** Making, listing, inspecting and closing sessions. */
export function sessionRoutes(sessions: Sessions): Route[] {
  return [
    {
      method: 'POST',
      path: '/sessions',
      summary: 'Make a session, with a name of your own or without.',
      operation: {
        requestBody: jsonBody({ type: 'object', properties: { name: { type: 'string' } } }, false),
        responses: jsonResponse(201, 'The session.', schemaRef('Session')),
      },
      handle: async (c) => {
        const name = readName(c);
        const made = await sessions.create(c.var.owner, name);
        return c.json(made, 201, { Location: `/sessions/${encodeURIComponent(made.session_id)}` });
      },
    },
    {
      method: 'GET',
      path: '/sessions',
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
      summary: 'Close a session: what runs in it ends, what it holds is gone.',
      operation: { parameters: [sessionParameter], responses: { 204: { description: 'Closed.' } } },
      handle: async (c) => {
        await sessions.close(c.var.owner, readId(c));
        return c.body(null, 204);
      },
    },
  ];
}

function readName(c: Context<Env>): string | undefined {
  if (c.var.body.trim() === '') return undefined;
  requireJson(c.req.raw);
  const { name } = parseJsonObject(c.var.body, ['name'], '{"name": "my-session"}');
  if (name === undefined || typeof name === 'string') return name;
  throw new GloveboxError('invalid_input', 'The field "name" must be a string.', {
    hint: 'Leave it out to get a handle.',
  });
}

/** @throws GloveboxError `session_not_found` for what is too long to be an id. */
export function readId(c: Context<Env>): string {
  const id = c.req.param('id') ?? '';
  if (id.length <= LONGEST_ID) return id;
  throw new GloveboxError('session_not_found', 'No session has an id as long as this.', {
    hint: 'See GET /sessions for those there are.',
  });
}
