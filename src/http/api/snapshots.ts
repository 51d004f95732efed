import type { Context } from 'hono';
import { followSignal } from '../../lib/follow-signal.ts';
import type { Sessions } from '../../sessions/sessions.ts';
import type { Snapshots } from '../../sessions/snapshots.ts';
import { leftOutHeader } from '../left-out.ts';
import type { Env, Route } from '../route.ts';
import { attachment, NEVER_A_PAGE, streamed } from './file-download.ts';
import {
  jsonBody,
  jsonResponse,
  SNAPSHOT_PATTERN,
  schemaRef,
  sessionNameSchema,
  sessionParameter,
} from './openapi-parts.ts';
import { TAR } from './session-import.ts';
import { readFields, readId } from './sessions.ts';

const snapshotParameter = {
  name: 'id',
  in: 'path',
  required: true,
  schema: { type: 'string', pattern: SNAPSHOT_PATTERN },
};
const forkBody = { type: 'object', properties: { name: sessionNameSchema }, additionalProperties: false };

interface SnapshotOptions {
  readonly sessions: Sessions;
  readonly snapshots: Snapshots;
}

/** Routes for snapshots, forks, and exports of sessions. */
export function snapshotRoutes(options: SnapshotOptions): Route[] {
  return [...copyingRoutes(options), ...storedSnapshotRoutes(options)];
}

function copyingRoutes(options: SnapshotOptions): Route[] {
  const { snapshots } = options;
  return [
    {
      method: 'POST',
      path: '/sessions/:id/snapshots',
      id: 'createSnapshot',
      tag: 'Snapshots',
      summary: 'Make a snapshot of a session.',
      operation: {
        parameters: [sessionParameter],
        responses: jsonResponse(201, 'The snapshot.', schemaRef('Snapshot'), { Location: 'Path of the snapshot.' }),
      },
      handle: async (c) => {
        readFields(c, [], '{}');
        using call = followSignal(c.req.raw.signal);
        const made = await snapshots.make(c.var.owner, readId(c), call.signal);
        return c.json(made, 201, { Location: `/snapshots/${made.snapshot_id}` });
      },
    },
    {
      method: 'POST',
      path: '/sessions/:id/fork',
      id: 'forkSession',
      tag: 'Snapshots',
      summary: 'Create a session as a copy of this one.',
      operation: {
        parameters: [sessionParameter],
        requestBody: jsonBody(forkBody, false),
        responses: jsonResponse(201, 'The new session.', schemaRef('Session'), {
          Location: 'Path of the new session.',
        }),
      },
      handle: async (c) => {
        const { name } = readFields(c, ['name'], '{"name": "my-copy"}');
        using call = followSignal(c.req.raw.signal);
        const made = await snapshots.fork(c.var.owner, readId(c), name, call.signal);
        return c.json(made, 201, { Location: `/sessions/${encodeURIComponent(made.session_id)}` });
      },
    },
    {
      method: 'GET',
      path: '/sessions/:id/archive',
      id: 'exportSession',
      tag: 'Snapshots',
      summary: 'Download a session as a tar, which POST /sessions accepts.',
      operation: {
        parameters: [sessionParameter],
        responses: { 200: { description: 'The files and packages of the session.', content: TAR } },
      },
      handle: async (c) => await exportSession(c, options),
    },
  ];
}

function storedSnapshotRoutes({ snapshots }: SnapshotOptions): Route[] {
  return [
    {
      method: 'GET',
      path: '/snapshots',
      id: 'listSnapshots',
      tag: 'Snapshots',
      summary: 'List your snapshots.',
      operation: {
        responses: jsonResponse(200, 'Your snapshots, oldest first.', {
          type: 'object',
          properties: { snapshots: { type: 'array', items: schemaRef('Snapshot') } },
          required: ['snapshots'],
        }),
      },
      handle: async (c) => c.json({ snapshots: await snapshots.list(c.var.owner) }),
    },
    {
      method: 'DELETE',
      path: '/snapshots/:id',
      id: 'deleteSnapshot',
      tag: 'Snapshots',
      summary: 'Delete a snapshot.',
      operation: { parameters: [snapshotParameter], responses: { 204: { description: 'Deleted.' } } },
      handle: async (c) => {
        await snapshots.delete(c.var.owner, readId(c));
        return c.body(null, 204);
      },
    },
  ];
}

async function exportSession(c: Context<Env>, { sessions, snapshots }: SnapshotOptions): Promise<Response> {
  const id = readId(c);
  const { owner } = c.var;
  const headers = {
    ...NEVER_A_PAGE,
    'Content-Type': 'application/x-tar',
    'Content-Disposition': attachment(`${id}.tar`),
  };
  if (c.req.raw.method === 'HEAD') {
    sessions.get(owner, id);
    return new Response(null, { headers });
  }
  const tar = await snapshots.export(owner, id, c.req.raw.signal);
  const sending = { release: () => {}, stallMs: undefined };
  return streamed(c, tar, sending, { headers: { ...headers, ...leftOutHeader(tar.leftOut) } });
}
