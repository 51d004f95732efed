import type { Context } from 'hono';
import { GloveboxError, sayBegun, toGloveboxError } from '../../errors.ts';
import type { ExecutionEnd } from '../../execution/request.ts';
import type { SessionFiles } from '../../files/session-files.ts';
import { tellReset } from '../../tools/common-fields.ts';
import type { RequestBody } from '../body.ts';
import { type FormPart, readForm } from '../multipart.ts';
import { hasConditions } from '../preconditions.ts';
import type { Env } from '../route.ts';
import type { Upload } from './file-upload.ts';

/** Bytes of headers and boundaries, besides the files themselves. */
const FORM_BYTES = 1024 * 1024;
/** Files that an error message names. */
const MOST_NAMED = 5;

interface Stored {
  readonly path: string;
  readonly size: number;
  readonly created: boolean;
}

/** Checks a form by its headers. @throws GloveboxError for a form that is refused whatever its content is */
export function checkForm(headers: Headers): void {
  if (!hasConditions(headers)) return;
  throw new GloveboxError('invalid_input', 'Conditions apply to single files, but a form may have several.', {
    hint: 'PUT the file with its If-Match or If-None-Match, or leave the conditions out.',
  });
}

/** Stores the files of a form in a folder, with the names in the form. */
export async function receiveForm(
  c: Context<Env>,
  files: SessionFiles,
  body: RequestBody,
  { sessionId, path, maxBytes }: Upload,
): Promise<Response> {
  await checkFolder(files, path);
  const folder = path === '' || path.endsWith('/') ? path : `${path}/`;
  const stored: Stored[] = [];
  let end: ExecutionEnd | undefined;
  try {
    for await (const part of readForm(c.req.header('content-type') ?? '', body.chunks(maxBytes + FORM_BYTES))) {
      const name = await fileName(part);
      if (name === undefined) continue;
      const target = folder + name;
      if (stored.some((earlier) => earlier.path === target))
        throw invalid(`The form has the file ${JSON.stringify(target)} twice.`);
      const written = await files.write(target, part.bytes);
      end = written.end.reset ? written.end : (end ?? written.end);
      stored.push({ path: target, size: written.size, created: written.created });
    }
    if (!end) throw invalid('The form has no file.', 'Send one as curl -F file=@data.csv does.');
  } catch (error) {
    throw withStored(error, stored);
  }
  const answer = { session_id: sessionId, files: stored, ...tellReset(end) };
  return c.json(answer, stored.some(({ created }) => created) ? 201 : 200);
}

/** Refuses a path that is not a folder and does not end in a slash: it may be meant as the path of a file. */
async function checkFolder(files: SessionFiles, path: string): Promise<void> {
  if (path === '' || path.endsWith('/')) return;
  const found = await files.stat(path).catch((error: unknown) => {
    if (error instanceof GloveboxError && error.code === 'file_not_found') return undefined;
    throw error;
  });
  if (found?.type === 'directory') return;
  throw invalid(
    `${JSON.stringify(path.slice(0, 200))} is not a folder, but the files of a form are stored in one.`,
    'End the path with a slash to make a folder. To send a single file, use PUT, as curl -T data.csv does.',
  );
}

/** The name of a file; undefined when the user chose none. @throws GloveboxError for a field that is not a file */
async function fileName({ name, filename, bytes }: FormPart): Promise<string | undefined> {
  if (filename === undefined || filename.startsWith('/')) {
    const what = filename === undefined ? `The field ${JSON.stringify(name.slice(0, 64))}` : 'The name of a file';
    throw invalid(`${what} in the form ${filename === undefined ? 'is not a file' : 'begins with a slash'}.`);
  }
  if (filename !== '') return filename;
  for await (const piece of bytes) {
    if (piece.length > 0)
      throw invalid('A file in the form has no name.', 'Give it a name: curl -F "file=@-;filename=a"');
  }
  return undefined;
}

/** Adds the files that were stored before the error, as they stay in the folder. */
function withStored(error: unknown, stored: readonly Stored[]): unknown {
  if (stored.length === 0) return error;
  const { code, message, hint, restHint, begun, cause } = toGloveboxError(sayBegun(error, true));
  const names = stored.slice(0, MOST_NAMED).map(({ path }) => JSON.stringify(path.slice(0, 200)));
  const more = stored.length > names.length ? ` and ${stored.length - names.length} more` : '';
  return new GloveboxError(code, `${message} Files stored before: ${names.join(', ')}${more}.`, {
    hint,
    restHint,
    begun,
    cause,
  });
}

function invalid(message: string, hint = 'Send only files: curl -F file=@data.csv'): GloveboxError {
  return new GloveboxError('invalid_input', message, { hint });
}
