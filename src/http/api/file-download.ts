import { basename } from 'node:path/posix';
import type { Context } from 'hono';
import { GloveboxError } from '../../errors.ts';
import type { FileStream, OpenFile, SessionFiles } from '../../files/session-files.ts';
import { mediaTypeOf } from '../../lib/media-types.ts';
import { STALL_MS, stalled } from '../body.ts';
import { leftOutHeader } from '../left-out.ts';
import { answerByPieces, takesPieces } from '../piece-body.ts';
import { conditionsToRead, rangeCondition, toETag } from '../preconditions.ts';
import type { Env } from '../route.ts';
import { isOutside, parseRange } from './file-range.ts';

/** Options for the end of a download. */
export interface Sending {
  /** Releases the session. */
  readonly release: () => void;
  /** Time in milliseconds without progress after which the download is aborted; a minute by default. */
  readonly stallMs: number | undefined;
}

/** Headers that keep a browser from running a file as a page of this server, whatever it contains. */
export const NEVER_A_PAGE = {
  'X-Content-Type-Options': 'nosniff',
  'Content-Security-Policy': "sandbox; default-src 'none'",
  'Cache-Control': 'private, no-cache',
};

/**
 * Sends a file, or the part of it that `Range` asks for, while it is read. Answers 304 when the caller has the file
 * already. `release` is called when everything was sent, or the client has gone.
 */
export async function sendFile(
  c: Context<Env>,
  files: SessionFiles,
  path: string,
  { release, stallMs }: Sending,
): Promise<Response> {
  const isHead = c.req.raw.method === 'HEAD';
  const condition = rangeCondition(c.req.header('if-range'));
  const asked = isHead || condition === 'none' ? undefined : parseRange(c.req.header('range'));
  const conditions = conditionsToRead(c.req.raw.headers);
  const file = await files.open(path, asked ?? (isHead ? { length: 0 } : {}), {
    ...(conditions ? { conditions } : {}),
    ...(asked && condition && condition !== 'none' ? { if_range: condition } : {}),
  });
  const range = file.whole ? undefined : asked;
  const headers = new Headers({ ...NEVER_A_PAGE, ...validators(file) });
  if (file.notModified) {
    await finish(file);
    release();
    return new Response(null, { status: 304, headers });
  }
  const type = mediaTypeOf(path);
  headers.set('Content-Type', type.startsWith('text/') ? `${type}; charset=utf-8` : type);
  headers.set('Content-Disposition', attachment(basename(path)));
  headers.set('Accept-Ranges', 'bytes');
  if (range && isOutside(range, file)) {
    await finish(file);
    release();
    return outsideRange(c, file.entry.size);
  }
  headers.set('Content-Length', String(isHead ? file.entry.size : file.length));
  if (isHead) {
    await finish(file);
    release();
    return new Response(null, { headers });
  }
  if (range) headers.set('Content-Range', `bytes ${file.offset}-${file.offset + file.length - 1}/${file.entry.size}`);
  return streamed(c, file, { release, stallMs }, { status: range ? 206 : 200, headers });
}

/** The headers by which a caller recognises the file. A time in the future, which a program can set, is not sent. */
function validators({ tag, entry }: OpenFile): Record<string, string> {
  const modified = new Date(Math.min(entry.modified.getTime(), Date.now()));
  return { 'Last-Modified': modified.toUTCString(), ...(tag === undefined ? {} : { ETag: toETag(tag) }) };
}

function outsideRange(c: Context<Env>, size: number): Response {
  const error = new GloveboxError(
    'invalid_input',
    `The file has ${size} bytes. None of them is in the requested range.`,
    {
      hint: 'Ask for a range inside the file, or leave out the header Range.',
    },
  );
  return c.json({ error: error.toRestBody() }, 416, { 'Content-Range': `bytes */${size}` });
}

/** Sends a folder as a tar. */
export async function sendFolder(
  c: Context<Env>,
  files: SessionFiles,
  path: string,
  { release, stallMs, maxBytes }: Sending & { readonly maxBytes: number },
): Promise<Response> {
  const match = conditionsToRead(c.req.raw.headers)?.match;
  if (match !== undefined && match !== '*')
    throw new GloveboxError('precondition_failed', 'A folder has no ETag, so If-Match cannot match.', {
      hint: 'Leave out the header If-Match.',
    });
  const headers = {
    ...NEVER_A_PAGE,
    'Content-Type': 'application/x-tar',
    'Content-Disposition': attachment(`${basename(path) || 'workspace'}.tar`),
  };
  if (c.req.raw.method === 'HEAD') {
    const { type } = await files.stat(path);
    release();
    if (type === 'directory') return new Response(null, { headers });
    throw new GloveboxError('invalid_input', 'This is not a folder.', { hint: 'Leave out ?format=tar for a file.' });
  }
  const tar = await files.pack(path, maxBytes);
  return streamed(c, tar, { release, stallMs }, { headers: { ...headers, ...leftOutHeader(tar.leftOut) } });
}

/** Reads an empty stream to its end. Closing it early would count as a download that its caller aborted. */
async function finish({ bytes, close }: FileStream): Promise<void> {
  try {
    for await (const _ of bytes);
  } finally {
    await close();
  }
}

/** Makes an answer with a stream as its body, which goes straight to Node's response where there is one. */
export function streamed(
  c: Context<Env>,
  stream: FileStream & { readonly batches?: OpenFile['batches'] },
  { release, stallMs }: Sending,
  init: ResponseInit,
): Response {
  if (!takesPieces(c.env?.outgoing)) return new Response(toBody(stream, release, stallMs), init);
  const end = async (failure?: unknown) => {
    await stream.close(failure);
    release();
  };
  return answerByPieces({ batches: stream.batches ?? single(stream.bytes), end, stallMs }, init);
}

async function* single(bytes: AsyncIterable<Buffer>): AsyncGenerator<readonly Buffer[], void, undefined> {
  for await (const piece of bytes) yield [piece];
}

/**
 * Makes a body that is read as fast as the client receives it. When the client goes away, or receives nothing for
 * `stallMs` milliseconds, the sending process in the sandbox ends. The answer is then cut off, because an error can no
 * longer be sent.
 */
export function toBody(
  { bytes, close }: FileStream,
  release: () => void,
  stallMs = STALL_MS,
): ReadableStream<Uint8Array> {
  const iterator = bytes[Symbol.asyncIterator]();
  let stall: NodeJS.Timeout | undefined;
  const end = async (failure?: unknown) => {
    clearTimeout(stall);
    await close(failure);
    release();
  };
  return new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      clearTimeout(stall);
      try {
        const { done, value } = await iterator.next();
        if (!done) {
          stall = setTimeout(() => {
            controller.error(stalled(stallMs));
            void end(stalled(stallMs));
          }, stallMs);
          return controller.enqueue(value);
        }
        await end();
        controller.close();
      } catch (error) {
        await end(error);
        controller.error(error);
      }
    },
    cancel: () => end(),
  });
}

/** Makes a Content-Disposition header with a name in any script, and with an ASCII form of it for old clients. */
export function attachment(name: string): string {
  const plain = name.replace(/[^\x20-\x7e]|["\\%]/g, '_');
  const encoded = encodeURIComponent(name).replace(
    /['()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`;
}
