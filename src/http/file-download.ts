import { basename } from 'node:path/posix';
import type { Context } from 'hono';
import { GloveboxError } from '../errors.ts';
import { mediaTypeOf } from '../media-types.ts';
import type { FileStream, SessionFiles } from '../sandbox/files.ts';
import type { Env } from './env.ts';
import { isOutside, parseRange } from './file-range.ts';

/** Whatever a file holds, no browser is to run it as a page of this server. */
export const NEVER_A_PAGE = {
  'X-Content-Type-Options': 'nosniff',
  'Content-Security-Policy': "sandbox; default-src 'none'",
  'Cache-Control': 'private, no-cache',
};

/** A file, or the part of it that `Range` asks for, as it is read. `release` runs when all is sent, or nobody listens. */
export async function sendFile(
  c: Context<Env>,
  files: SessionFiles,
  path: string,
  release: () => void,
): Promise<Response> {
  const isHead = c.req.raw.method === 'HEAD';
  // A part of a file that may be another by now is no use: then all of it is sent.
  const range = isHead || c.req.header('if-range') !== undefined ? undefined : parseRange(c.req.header('range'));
  const file = await files.open(path, range ?? (isHead ? { length: 0 } : {}));
  const type = mediaTypeOf(path);
  const modified = file.entry.modified.toUTCString();
  const headers = new Headers({
    ...NEVER_A_PAGE,
    'Content-Type': type.startsWith('text/') ? `${type}; charset=utf-8` : type,
    'Content-Disposition': attachment(basename(path)),
    'Accept-Ranges': 'bytes',
    'Last-Modified': modified,
  });
  if (range && isOutside(range, file)) {
    await finish(file);
    release();
    const error = new GloveboxError(
      'invalid_input',
      `The file has ${file.entry.size} bytes, none of them in that range.`,
    );
    return c.json({ error: error.toBody() }, 416, { 'Content-Range': `bytes */${file.entry.size}` });
  }
  headers.set('Content-Length', String(isHead ? file.entry.size : file.length));
  if (isHead) {
    await finish(file);
    release();
    return new Response(null, { headers });
  }
  if (range) headers.set('Content-Range', `bytes ${file.offset}-${file.offset + file.length - 1}/${file.entry.size}`);
  return new Response(toBody(file, release), { status: range ? 206 : 200, headers });
}

/** A folder as a tar. */
export async function sendFolder(
  c: Context<Env>,
  files: SessionFiles,
  path: string,
  maxBytes: number,
  release: () => void,
): Promise<Response> {
  const headers = {
    ...NEVER_A_PAGE,
    'Content-Type': 'application/x-tar',
    'Content-Disposition': attachment(`${basename(path) || 'workspace'}.tar`),
  };
  if (c.req.raw.method === 'HEAD') {
    const { type } = await files.stat(path);
    release();
    if (type === 'directory') return new Response(null, { headers });
    throw new GloveboxError('invalid_input', 'This is not a folder.');
  }
  const tar = await files.pack(path, maxBytes);
  return new Response(toBody(tar, release), { headers });
}

/** Lets a read of no bytes end by itself: what is ended counts as one that its caller has left. */
async function finish({ bytes, close }: FileStream): Promise<void> {
  try {
    for await (const _ of bytes);
  } finally {
    await close();
  }
}

/** Pulled by the client; when that goes away, what sends in the sandbox ends. */
export function toBody({ bytes, close }: FileStream, release: () => void): ReadableStream<Uint8Array> {
  const iterator = bytes[Symbol.asyncIterator]();
  const end = async (failure?: unknown) => {
    await close(failure);
    release();
  };
  return new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      try {
        const { done, value } = await iterator.next();
        if (!done) return controller.enqueue(value);
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

/** Of names in any script; those that old clients cannot read are spelled for them as well as can be. */
export function attachment(name: string): string {
  const plain = name.replace(/[^\x20-\x7e]|["\\%]/g, '_');
  const encoded = encodeURIComponent(name).replace(
    /['()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`;
}
