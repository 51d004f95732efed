import type { Context } from 'hono';
import { GloveboxError } from '../../errors.ts';
import { spellSentPath } from '../../files/file-names.ts';
import { SessionFiles } from '../../files/session-files.ts';
import { followSignal } from '../../lib/follow-signal.ts';
import type { Lease, Sessions } from '../../sessions/sessions.ts';
import { RequestBody } from '../body.ts';
import { conditionsToChange } from '../preconditions.ts';
import { isSet } from '../query.ts';
import type { Env, Route } from '../route.ts';
import { sendFile, sendFolder } from './file-download.ts';
import { planUpload, receive, type Upload } from './file-upload.ts';
import { checkForm, receiveForm } from './form-upload.ts';
import {
  describeHeaders,
  filePathParameter,
  fileSchemas,
  jsonResponse,
  requestHeader,
  SWITCH,
  sessionParameter,
} from './openapi-parts.ts';
import { readId } from './sessions.ts';

export interface FilesOptions {
  readonly sessions: Sessions;
  /** Size of a session's disk. */
  readonly diskMb: number;
  /** How long a transfer may bring no byte; a minute if left out. */
  readonly stallMs?: number;
}

const MIB = 2 ** 20;
/** Of a folder's contents to those of the disk that it is on: files with holes in them may seem larger than that. */
const SEEMING_SIZE = 2;

const BINARY = { type: 'string', format: 'binary' };
/** Of the type that the name of the file tells. */
const BYTES = { '*/*': { schema: BINARY } };
const TAR = { 'application/x-tar': { schema: BINARY } };
const TAGS = '^(\\*|(W/)?"[!#-~]*"(, ?(W/)?"[!#-~]*")*)$';
const conditionHeaders = [
  requestHeader('If-Match', 'Only if the file has one of these ETags.', TAGS),
  requestHeader('If-None-Match', 'Only if it has none of them; with *, only if there is no such file.', TAGS),
  requestHeader('If-Unmodified-Since', 'Only if it was not modified since then.'),
];
const readingHeaders = [
  ...conditionHeaders,
  requestHeader('If-Modified-Since', 'Only if it was modified since then.'),
  requestHeader('Range', 'The part that is wanted, as bytes=0-99, bytes=100- or bytes=-100.'),
  requestHeader('If-Range', 'An ETag or a date: the part of that file, or else all of it.'),
];
const VALIDATORS = { ETag: 'Another with each change of the file.', 'Last-Modified': 'When it was modified.' };
const WRITTEN = { ETag: VALIDATORS.ETag };
const query = (name: string, description: string, schema: object = SWITCH) => ({
  name,
  in: 'query',
  required: false,
  description,
  schema,
});

const WORKSPACE = '/sessions/:id/files';
const PATH = `${WORKSPACE}/*`;
const parameters = [sessionParameter, filePathParameter];

/** Bytes in and out of sessions. */
export function fileRoutes(options: FilesOptions): Route[] {
  return [...readingRoutes(options), ...changingRoutes(options), ...formRoutes(options)];
}

function readingRoutes(options: FilesOptions): Route[] {
  return [
    {
      method: 'GET',
      path: WORKSPACE,
      id: 'listFiles',
      tag: 'Files',
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
      path: PATH,
      id: 'downloadFile',
      tag: 'Files',
      summary: 'A file, or with ?format=tar a folder.',
      operation: {
        parameters: [
          ...parameters,
          query('format', 'A folder as an archive.', { type: 'string', enum: ['tar'] }),
          ...readingHeaders,
        ],
        responses: {
          200: {
            description: 'All of it.',
            headers: describeHeaders({ ...VALIDATORS, 'Content-Disposition': 'Its name.' }),
            content: { ...BYTES, ...TAR },
          },
          206: {
            description: 'The part that Range asks for.',
            headers: describeHeaders({ ...VALIDATORS, 'Content-Range': 'Which part of how many bytes.' }),
            content: BYTES,
          },
          304: { description: 'The file is as the caller knows it.', headers: describeHeaders(VALIDATORS) },
        },
      },
      handle: (c) => download(c, options),
    },
  ];
}

function changingRoutes(options: FilesOptions): Route[] {
  return [
    {
      method: 'PUT',
      path: WORKSPACE,
      id: 'unpackWorkspace',
      tag: 'Files',
      summary: 'Unpack a tar into the workspace: ?unpack=1.',
      operation: {
        parameters: [sessionParameter, query('unpack', 'To be set.')],
        requestBody: { required: true, content: TAR },
        responses: jsonResponse(201, 'It is unpacked.', fileSchemas.written),
      },
      takes: ['tar', 'bytes'],
      handle: (c) => upload(c, options),
    },
    {
      method: 'PUT',
      path: PATH,
      id: 'uploadFile',
      tag: 'Files',
      summary: 'Write a file of any size, or with ?unpack=1 what is in a tar.',
      operation: {
        parameters: [...parameters, query('unpack', 'Whether to unpack a tar into this folder.'), ...conditionHeaders],
        requestBody: { required: true, content: { ...BYTES, ...TAR } },
        responses: {
          ...jsonResponse(201, 'A new file, or an unpacked tar.', fileSchemas.written, WRITTEN),
          ...jsonResponse(200, 'The file was replaced.', fileSchemas.written, WRITTEN),
        },
      },
      takes: ['bytes'],
      handle: (c) => upload(c, options),
    },
    {
      method: 'DELETE',
      path: PATH,
      id: 'deleteFile',
      tag: 'Files',
      summary: 'Delete a file, or with ?recursive=1 a folder.',
      operation: {
        parameters: [...parameters, query('recursive', 'Whether to delete what is in a folder.'), ...conditionHeaders],
        responses: { 204: { description: 'Deleted.' } },
      },
      handle: (c) => deleteFile(c, options),
    },
  ];
}

/** A form goes to any folder, and the workspace is one. */
function formRoutes(options: FilesOptions): Route[] {
  const route = {
    method: 'POST',
    tag: 'Files',
    takes: ['form'],
    handle: (c: Context<Env>) => uploadForm(c, options),
  } as const;
  const operation = {
    requestBody: { required: true, content: { 'multipart/form-data': { schema: fileSchemas.form } } },
    responses: {
      ...jsonResponse(201, 'At least one of the files is new.', fileSchemas.stored),
      ...jsonResponse(200, 'All of them were replaced.', fileSchemas.stored),
    },
  };
  return [
    {
      ...route,
      path: WORKSPACE,
      id: 'uploadFormToWorkspace',
      summary: 'Put the files of a form (multipart/form-data) into the workspace.',
      operation: { parameters: [sessionParameter], ...operation },
    },
    {
      ...route,
      path: PATH,
      id: 'uploadForm',
      summary: 'Put the files of a form (multipart/form-data) into a folder.',
      operation: { parameters, ...operation },
    },
  ];
}

async function listFiles(c: Context<Env>, { sessions }: FilesOptions): Promise<Response> {
  const recursive = isSet(c, 'recursive');
  using lease = await leaseExisting(c, sessions);
  using call = followSignal(c.req.raw.signal);
  const files = new SessionFiles(lease.session, call.signal);
  const { entries, truncated } = await files.list(c.req.query('path') ?? '', { recursive });
  const listed = entries.map(({ modified, ...entry }) => ({ ...entry, modified: modified.toISOString() }));
  return c.json({ session_id: lease.session.id, files: listed, ...(truncated ? { truncated } : {}) });
}

async function download(c: Context<Env>, { sessions, diskMb, stallMs }: FilesOptions): Promise<Response> {
  const path = readPath(c);
  const lease = await leaseExisting(c, sessions);
  const release = onlyOnce(() => lease[Symbol.dispose]());
  c.req.raw.signal.addEventListener('abort', release, { once: true });
  try {
    const files = new SessionFiles(lease.session, c.req.raw.signal);
    if (wantsTar(c)) {
      return await sendFolder(c, files, path, { release, stallMs, maxBytes: SEEMING_SIZE * diskMb * MIB });
    }
    return await sendFile(c, files, path, { release, stallMs });
  } catch (error) {
    release();
    throw error;
  }
}

async function upload(c: Context<Env>, options: FilesOptions): Promise<Response> {
  const path = readPath(c);
  const plan = planUpload(c, path);
  return await take(c, options, (files, body, target) => receive(c, files, body, { ...target, ...plan }));
}

async function uploadForm(c: Context<Env>, options: FilesOptions): Promise<Response> {
  checkForm(c.req.raw.headers);
  return await take(c, options, (files, body, target) => receiveForm(c, files, body, target));
}

/** Gives a body to the session that it is for; a session is made only for what its head does not rule out. */
async function take(
  c: Context<Env>,
  { sessions, diskMb, stallMs }: FilesOptions,
  use: (files: SessionFiles, body: RequestBody, target: Upload) => Promise<Response>,
): Promise<Response> {
  const body = new RequestBody(c.req.raw, stallMs);
  const maxBytes = diskMb * MIB;
  try {
    body.checkLength(maxBytes);
    const caller = { owner: c.var.owner, fallback: 'owner' } as const;
    using lease = await sessions.lease(caller, readId(c), { signal: c.req.raw.signal });
    using call = followSignal(c.req.raw.signal);
    const files = new SessionFiles(lease.session, call.signal);
    return await use(files, body, { sessionId: lease.session.id, path: readPath(c), maxBytes });
  } catch (error) {
    c.set('rest', body.discard());
    throw error;
  }
}

async function deleteFile(c: Context<Env>, { sessions }: FilesOptions): Promise<Response> {
  const path = readPath(c);
  const recursive = isSet(c, 'recursive');
  const conditions = conditionsToChange(c.req.raw.headers);
  using lease = await leaseExisting(c, sessions);
  using call = followSignal(c.req.raw.signal);
  await new SessionFiles(lease.session, call.signal).delete(path, {
    recursive,
    ...(conditions ? { conditions } : {}),
  });
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
  if (/%(?![0-9a-f]{2})/i.test(encoded))
    throw new GloveboxError('invalid_input', 'The path is not percent-encoded: a "%" is written as "%25".');
  const bytes = encoded.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return spellSentPath(Buffer.from(bytes, 'latin1'));
}

function wantsTar(c: Context<Env>): boolean {
  const format = c.req.query('format');
  if (format !== undefined && format !== 'tar')
    throw new GloveboxError('invalid_input', 'The only format is "tar", for folders.', {
      hint: 'Use ?format=tar for a folder, and leave it out for a file.',
    });
  return (
    format === 'tar' ||
    (c.req.header('accept') ?? '').split(',').some((type) => type.trim().startsWith('application/x-tar'))
  );
}

function onlyOnce(action: () => void): () => void {
  let done = false;
  return () => {
    if (!done) action();
    done = true;
  };
}
