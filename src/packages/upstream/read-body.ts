import { pipeline, type Readable } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { Problem } from './problem.ts';
import type { UpstreamResponse } from './upstream.ts';

/** What a reader of a body may be told: the noun for its messages. */
export interface BodyBounds {
  /** "The page of numpy", "numpy-1.0.whl". */
  readonly what: string;
  readonly limitBytes: number;
}

/**
 * A whole body, unpacked, within a size and a time.
 * @throws Problem 413, 504, or 502 when it is cut off.
 */
export async function readBody(
  { headers, body }: Pick<UpstreamResponse, 'headers' | 'body'>,
  bounds: BodyBounds & { timeMs: number },
): Promise<Buffer> {
  const late = new Problem(504, `The package index is too slow with ${bounds.what}.`);
  const timer = setTimeout(() => body.destroy(late), bounds.timeMs);
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of unpack(body, headers['content-encoding']) as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > bounds.limitBytes) throw tooLarge(bounds);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } catch (error) {
    throw body.errored === late ? late : asProblem(error, bounds.what);
  } finally {
    clearTimeout(timer);
    body.destroy();
  }
}

function unpack(body: Readable, encoding = 'identity'): Readable {
  const unpacker = { gzip: createGunzip, 'x-gzip': createGunzip, deflate: createInflate, br: createBrotliDecompress }[
    encoding.toLowerCase()
  ];
  // The reader hears of a failure on either side as an error of what it reads.
  return unpacker ? pipeline(body, unpacker(), () => {}) : body;
}

/** The chunks of a download, which must not stop coming: {@link Problem} 504 if they do. */
export async function* readSteadily(
  body: Readable,
  bounds: BodyBounds & { stallMs: number; stallBytes: number },
): AsyncGenerator<Buffer, void, undefined> {
  const stalled = new Problem(504, `The package index stopped sending ${bounds.what}.`);
  let bytes = 0;
  let marked = 0;
  const timer = setInterval(() => {
    if (bytes - marked < bounds.stallBytes) body.destroy(stalled);
    marked = bytes;
  }, bounds.stallMs);
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > bounds.limitBytes) throw tooLarge(bounds);
      yield chunk;
    }
  } catch (error) {
    throw body.errored === stalled ? stalled : asProblem(error, bounds.what);
  } finally {
    clearInterval(timer);
    body.destroy();
  }
}

export function tooLarge({ what, limitBytes }: BodyBounds): Problem {
  const limit = limitBytes < 1024 * 1024 ? `${limitBytes} bytes` : `${Math.round(limitBytes / 1024 / 1024)} MiB`;
  return new Problem(413, `${capitalize(what)} is larger than the ${limit} that this server takes.`, { lasting: true });
}

function asProblem(error: unknown, what: string): Problem {
  if (error instanceof Problem) return error;
  return new Problem(502, `The package index broke off while sending ${what}.`, { cause: error });
}

function capitalize(text: string): string {
  return text.startsWith('the ') ? `T${text.slice(1)}` : text;
}
