import type { Context } from 'hono';
import { GloveboxError } from '../errors.ts';
import { SessionFiles } from '../sandbox/files.ts';
import type { Lease, Sessions } from '../sandbox/sessions.ts';
import { followSignal } from '../tools/call-signal.ts';
import type { Env, Route } from './env.ts';
import { sendFile, sendFolder } from './file-download.ts';
import { RequestBody, receive } from './file-upload.ts';
import { filePathParameter, fileSchemas, jsonResponse, sessionParameter } from './openapi-parts.ts';
import { readId } from './sessions.ts';

export interface FilesOptions {
  readonly sessions: Sessions;
  /** Size of a session's disk. */
  readonly diskMb: number;
}

const MIB = 2 ** 20;
/** Of a folder's contents to those of the disk that it is on: files with holes in them may seem larger than that. */
const SEEMING_SIZE = 2;

const BYTES = { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } };
const TAR = { 'application/x-tar': { schema: { type: 'string', format: 'binary' } } };
const query = (name: string, description: string, schema: object = { enum: ['1'] }) => ({
  name,
  in: 'query',
  required: false,
  description,
  schema,
});

/** Bytes in and out of sessions. */
export function fileRoutes(options: FilesOptions): Route[] {
  const path = '/sessions/:id/files/*';
  const parameters = [sessionParameter, filePathParameter];
  return [
    {
      method: 'GET',
      path: '/sessions/:id/files',
      summary: 'The files of a session: ?path= names a folder, ?recursive=1 lists what is below it too.',
      operation: {
        parameters: [
          sessionParameter,
          query('path', 'A folder; the workspace if left out.', { type: 'string' }),
          query('recursive', 'Whether to list what is in folders.'),
        ],
        responses: jsonResponse(200, 'At most 1000 of them.', fileSchemas.list),
      },
      handle: (c) => listFiles(c, options),
    },
    {
      method: 'GET',
      path,
      summary: 'A file, or with ?format=tar a folder.',
      operation: {
        parameters: [...parameters, query('format', 'A folder as an archive.', { enum: ['tar'] })],
        responses: {
          200: { description: 'All of it.', content: { ...BYTES, ...TAR } },
          206: { description: 'The part that Range asks for.', content: BYTES },
        },
      },
      handle: (c) => download(c, options),
    },
    {
      method: 'PUT',
      path,
      summary: 'Write a file of any size, or with ?unpack=1 what is in a tar.',
      operation: {
        parameters: [...parameters, query('unpack', 'Whether to unpack a tar into this folder.')],
        requestBody: { required: true, content: { ...BYTES, ...TAR } },
        responses: {
          ...jsonResponse(201, 'A new file, or an unpacked tar.', fileSchemas.written),
          ...jsonResponse(200, 'The file was replaced.', fileSchemas.written),
        },
      },
      handle: (c) => upload(c, options),
    },
    {
      method: 'DELETE',
      path,
      summary: 'Delete a file, or with ?recursive=1 a folder.',
      operation: {
        parameters: [...parameters, query('recursive', 'Whether to delete what is in a folder.')],
        responses: { 204: { description: 'Deleted.' } },
      },
      handle: (c) => deleteFile(c, options),
    },
  ];
}

async function listFiles(c: Context<Env>, { sessions }: FilesOptions): Promise<Response> {
  using lease = await leaseExisting(c, sessions);
  using call = followSignal(c.req.raw.signal);
  const files = new SessionFiles(lease.session, call.signal);
  const recursive = isSet(c, 'recursive');
  const { entries, truncated } = await files.list(c.req.query('path') ?? '', { recursive });
  const listed = entries.map(({ modified, ...entry }) => ({ ...entry, modified: modified.toISOString() }));
  return c.json({ session_id: lease.session.id, files: listed, ...(truncated ? { truncated } : {}) });
}

async function download(c: Context<Env>, { sessions, diskMb }: FilesOptions): Promise<Response> {
  const path = readPath(c);
  const lease = await leaseExisting(c, sessions);
  const release = onlyOnce(() => lease[Symbol.dispose]());
  c.req.raw.signal.addEventListener('abort', release, { once: true });
  try {
    const files = new SessionFiles(lease.session, c.req.raw.signal);
    if (wantsTar(c)) return await sendFolder(c, files, path, SEEMING_SIZE * diskMb * MIB, release);
    return await sendFile(c, files, path, release);
  } catch (error) {
    release();
    throw error;
  }
}

async function upload(c: Context<Env>, { sessions, diskMb }: FilesOptions): Promise<Response> {
  const body = new RequestBody(c.req.raw);
  try {
    const path = readPath(c);
    const caller = { owner: c.var.owner, fallback: 'owner' } as const;
    using lease = await sessions.lease(caller, readId(c), { signal: c.req.raw.signal });
    using call = followSignal(c.req.raw.signal);
    const files = new SessionFiles(lease.session, call.signal);
    return await receive(c, files, body, { sessionId: lease.session.id, path, maxBytes: diskMb * MIB });
  } catch (error) {
    await body.discard();
    throw error;
  }
}

async function deleteFile(c: Context<Env>, { sessions }: FilesOptions): Promise<Response> {
  const path = readPath(c);
  using lease = await leaseExisting(c, sessions);
  using call = followSignal(c.req.raw.signal);
  await new SessionFiles(lease.session, call.signal).delete(path, { recursive: isSet(c, 'recursive') });
  return c.body(null, 204);
}

/** Looking at the files of a session that there is not makes none. */
async function leaseExisting(c: Context<Env>, sessions: Sessions): Promise<Lease> {
  const id = readId(c);
  sessions.describe(c.var.owner, id);
  return await sessions.lease({ owner: c.var.owner, fallback: 'owner' }, id, { signal: c.req.raw.signal });
}

/** The path after `/files/`, whose names may hold anything that can be percent-encoded. */
function readPath(c: Context<Env>): string {
  const encoded = /^\/sessions\/[^/]*\/files\/(.*)$/s.exec(new URL(c.req.url).pathname)?.[1] ?? '';
  try {
    return decodeURIComponent(encoded);
  } catch (cause) {
    throw new GloveboxError('invalid_input', 'The path is not percent-encoded UTF-8.', { cause });
  }
}

function wantsTar(c: Context<Env>): boolean {
  const format = c.req.query('format');
  if (format !== undefined && format !== 'tar')
    throw new GloveboxError('invalid_input', 'The only format is "tar", for folders.');
  return (
    format === 'tar' ||
    (c.req.header('accept') ?? '').split(',').some((type) => type.trim().startsWith('application/x-tar'))
  );
}

function isSet(c: Context<Env>, name: string): boolean {
  return !['', '0', 'false'].includes(c.req.query(name) ?? '');
}

function onlyOnce(action: () => void): () => void {
  let done = false;
  return () => {
    if (!done) action();
    done = true;
  };
}
