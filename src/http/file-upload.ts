import { setTimeout as sleep } from 'node:timers/promises';
import type { Context } from 'hono';
import { GloveboxError } from '../errors.ts';
import type { SessionFiles } from '../sandbox/files.ts';
import { tellReset } from '../tools/fields.ts';
import { discardRest, isTar } from './body.ts';
import type { Env } from './env.ts';

/** A client may send nothing more, and wait. */
const WAIT_FOR_REST_MS = 2000;

export interface Upload {
  readonly sessionId: string;
  readonly path: string;
  readonly maxBytes: number;
}

/**
 * Puts a request's body into the session as it comes, as a file or, from a tar, as what is in it.
 * @throws GloveboxError when nothing, or not all, of it is taken; the body may then be unread.
 */
export async function receive(
  c: Context<Env>,
  files: SessionFiles,
  body: RequestBody,
  upload: Upload,
): Promise<Response> {
  const { sessionId, path, maxBytes } = upload;
  const declared = c.req.header('content-length');
  const size = declared === undefined ? undefined : Number(declared);
  if (size !== undefined && size > maxBytes) throw tooLarge(maxBytes);
  if (isArchive(c)) {
    const { end, ...unpacked } = await files.unpack(path, body.chunks(maxBytes), maxBytes);
    return c.json({ session_id: sessionId, path: path || '.', ...unpacked, ...tellReset(end) }, 201);
  }
  if (path === '' || path.endsWith('/')) throw isFolder();
  const mode = c.req.header('if-none-match') === '*' ? 'create' : 'replace';
  const options = { mode, ...(size === undefined ? {} : { size }) } as const;
  const written = await files.write(path, body.chunks(maxBytes), options);
  const answer = { session_id: sessionId, path, size: written.size, ...tellReset(written.end) };
  return c.json(answer, written.created ? 201 : 200);
}

/** Whether a folder is to be made of the body rather than a file. */
function isArchive(c: Context<Env>): boolean {
  const asked = !['', '0', 'false'].includes(c.req.query('unpack') ?? '');
  if (asked && !isTar(c))
    throw new GloveboxError('invalid_input', 'Only a tar can be unpacked.', {
      hint: 'Send it uncompressed, with the header "Content-Type: application/x-tar".',
    });
  return isTar(c) && (asked || new URL(c.req.url).pathname.endsWith('/'));
}

/** A body that is never held: what takes it is as fast as what sends it. */
export class RequestBody {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;

  constructor(request: Request) {
    this.#reader = request.body?.getReader();
  }

  /** @throws GloveboxError when the client goes away before the end, or sends more than there is room for. */
  async *chunks(maxBytes: number): AsyncGenerator<Uint8Array, void, undefined> {
    let size = 0;
    while (this.#reader) {
      const { done, value } = await this.#reader.read().catch(brokenOff);
      if (done) return;
      size += value.byteLength;
      if (size > maxBytes) throw tooLarge(maxBytes);
      yield value;
    }
  }

  /** Reads on for a moment after a refusal: a client that is cut off while it sends never sees the answer. */
  async discard(): Promise<void> {
    if (this.#reader) await Promise.race([discardRest(this.#reader), sleep(WAIT_FOR_REST_MS)]);
  }
}

function brokenOff(cause: unknown): never {
  throw new GloveboxError('invalid_input', 'The body broke off; nothing of it was kept.', {
    hint: 'Send the whole request again.',
    cause,
  });
}

function tooLarge(maxBytes: number): GloveboxError {
  return new GloveboxError(
    'payload_too_large',
    `The request is larger than the ${maxBytes} bytes of a session's disk.`,
    {
      hint: 'Send less, or have the operator raise GLOVEBOX_DISK_MB.',
    },
  );
}

function isFolder(): GloveboxError {
  return new GloveboxError('invalid_input', 'A file needs a name that does not end in a slash.', {
    hint: 'To fill a folder, send a tar with the header "Content-Type: application/x-tar".',
  });
}
