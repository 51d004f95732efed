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
  /** Size of a session's disk, in MiB. */
  readonly diskMb: number;
  /** Time in milliseconds without a byte after which a transfer is aborted; a minute by default. */
  readonly stallMs?: number;
}

const MIB = 2 ** 20;
/** Largest ratio of a folder's size to that of its disk: sparse files seem larger than they are. */
const SPARSE_RATIO = 2;

const BINARY = { type: 'string', format: 'binary' };
/** Content of a file, whose media type depends on its name. */
const BYTES = { '*/*': { schema: BINARY } };
const TAR = { 'application/x-tar': { schema: BINARY } };
const TAGS = '^(\\*|(W/)?"[!#-~]*"(, ?(W/)?"[!#-~]*")*)$';
const conditionHeaders = [
  requestHeader('If-Match', 'Proceed only if the file has one of these ETags.', TAGS),
  requestHeader(
    'If-None-Match',
    'Proceed only if the file has none of these ETags; with *, only if it does not exist.',
    TAGS,
  ),
  requestHeader('If-Unmodified-Since', 'Proceed only if the file was not modified after this time.'),
];
const readingHeaders = [
  ...conditionHeaders,
  requestHeader('If-Modified-Since', 'Proceed only if the file was modified after this time.'),
  requestHeader('Range', 'A part of the file: bytes=0-99, bytes=100- or bytes=-100.'),
  requestHeader(
    'If-Range',
    'An ETag or a date: Range applies only if the file still has it; otherwise the whole file is sent.',
  ),
];
const VALIDATORS = { ETag: 'Changes with each change of the file.', 'Last-Modified': 'Time of the last change.' };
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

/** Routes for the files of sessions. */
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
      summary: 'List the files of a session: ?path= names a folder, ?recursive=1 includes subfolders.',
      operation: {
        parameters: [
          sessionParameter,
          query('path', 'A folder; the workspace by default.', { type: 'string' }),
          query('recursive', 'Whether to include the contents of subfolders.'),
        ],
        responses: jsonResponse(200, 'The files, at most 1000.', fileSchemas.list),
      },
      handle: (c) => listFiles(c, options),
    },
    {
      method: 'GET',
      path: PATH,
      id: 'downloadFile',
      tag: 'Files',
      summary: 'Download a file, or with ?format=tar a folder.',
      operation: {
        parameters: [
          ...parameters,
          query('format', 'Whether to get a folder as an archive.', { type: 'string', enum: ['tar'] }),
          ...readingHeaders,
        ],
        responses: {
          200: {
            description: 'The whole file, or the folder as a tar.',
            headers: describeHeaders({ ...VALIDATORS, 'Content-Disposition': 'The name of the file.' }),
            content: { ...BYTES, ...TAR },
          },
          206: {
            description: 'The part that Range asks for.',
            headers: describeHeaders({ ...VALIDATORS, 'Content-Range': 'The part, and the size of the file.' }),
            content: BYTES,
          },
          304: { description: 'The file has not changed.', headers: describeHeaders(VALIDATORS) },
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
        parameters: [sessionParameter, query('unpack', 'Must be set.')],
        requestBody: { required: true, content: TAR },
        responses: jsonResponse(201, 'The tar was unpacked.', fileSchemas.written),
      },
      takes: ['tar', 'bytes'],
      handle: (c) => upload(c, options),
    },
    {
      method: 'PUT',
      path: PATH,
      id: 'uploadFile',
      tag: 'Files',
      summary: 'Write a file of any size, or with ?unpack=1 unpack a tar into a folder.',
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
        parameters: [
          ...parameters,
          query('recursive', 'Whether to delete a folder with its contents.'),
          ...conditionHeaders,
        ],
        responses: { 204: { description: 'Deleted.' } },
      },
      handle: (c) => deleteFile(c, options),
    },
  ];
}

/** Routes for forms, which may be sent to the workspace or to a folder in it. */
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
      summary: 'Store the files of a form (multipart/form-data) in the workspace.',
      operation: { parameters: [sessionParameter], ...operation },
    },
    {
      ...route,
      path: PATH,
      id: 'uploadForm',
      summary: 'Store the files of a form (multipart/form-data) in a folder.',
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
      return await sendFolder(c, files, path, { release, stallMs, maxBytes: SPARSE_RATIO * diskMb * MIB });
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
  return await storeBody(c, options, (files, body, target) => receive(c, files, body, { ...target, ...plan }));
}

async function uploadForm(c: Context<Env>, options: FilesOptions): Promise<Response> {
  checkForm(c.req.raw.headers);
  return await storeBody(c, options, (files, body, target) => receiveForm(c, files, body, target));
}

/** Stores a body in its session. A missing session is created only if the headers of the request are accepted. */
async function storeBody(
  c: Context<Env>,
  { sessions, diskMb, stallMs }: FilesOptions,
  use: (files: SessionFiles, body: RequestBody, target: Upload) => Promise<Response>,
): Promise<Response> {
  const body = new RequestBody(c.req.raw, stallMs, c.env.incoming);
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

/** Leases a session that exists. Reading files must not create one. */
async function leaseExisting(c: Context<Env>, sessions: Sessions): Promise<Lease> {
  const id = readId(c);
  const waiting = { signal: c.req.raw.signal };
  await sessions.describe(c.var.owner, id, waiting);
  return await sessions.lease({ owner: c.var.owner, fallback: 'owner' }, id, waiting);
}

/** The path after `/files/`. Its names may contain any bytes, percent-encoded. */
function readPath(c: Context<Env>): string {
  const encoded = /^\/sessions\/[^/]*\/files\/(.*)$/s.exec(new URL(c.req.url).pathname)?.[1] ?? '';
  if (/%(?![0-9a-f]{2})/i.test(encoded))
    throw new GloveboxError('invalid_input', 'The path is not percent-encoded. Write "%" as "%25".');
  const bytes = encoded.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return spellSentPath(Buffer.from(bytes, 'latin1'));
}

function wantsTar(c: Context<Env>): boolean {
  const format = c.req.query('format');
  if (format !== undefined && format !== 'tar')
    throw new GloveboxError('invalid_input', 'The only supported format is "tar", for folders.', {
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
