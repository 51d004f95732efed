import { pipeline, type Readable } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { Problem } from './problem.ts';
import type { UpstreamResponse } from './upstream.ts';

/** Size limit of a body, and its name in error messages. */
export interface BodyBounds {
  /** Name of the body, such as "the index page of numpy" or "numpy-1.0.whl". */
  readonly what: string;
  readonly limitBytes: number;
}

/**
 * Reads a whole body and decompresses it.
 * @throws Problem 413 when it exceeds `limitBytes`, 504 when it takes longer than `timeMs`, or 502 when it breaks off
 */
export async function readBody(
  { headers, body }: Pick<UpstreamResponse, 'headers' | 'body'>,
  bounds: BodyBounds & { timeMs: number },
): Promise<Buffer> {
  const late = new Problem(504, `The package index took too long to send ${bounds.what}.`);
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
  // A failure of either stream reaches the reader as an error of the stream that it reads.
  return unpacker ? pipeline(body, unpacker(), () => {}) : body;
}

/**
 * Yields the chunks of a download.
 * @throws Problem 504 when they bring less than `stallBytes` within `stallMs`, 413 when it is too large, or 502 when it
 *   breaks off
 */
export async function* readSteadily(
  body: Readable,
  bounds: BodyBounds & { stallMs: number; stallBytes: number },
): AsyncGenerator<Buffer, void, undefined> {
  const stalled = new Problem(504, `The package index stopped sending ${bounds.what}.`);
  let bytes = 0;
  let previousBytes = 0;
  const timer = setInterval(() => {
    if (bytes - previousBytes < bounds.stallBytes) body.destroy(stalled);
    previousBytes = bytes;
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
  return new Problem(413, `${capitalize(what)} is larger than the ${limit} that this server allows.`, {
    lasting: true,
  });
}

function asProblem(error: unknown, what: string): Problem {
  if (error instanceof Problem) return error;
  return new Problem(502, `The connection to the package index broke while it sent ${what}.`, { cause: error });
}

function capitalize(text: string): string {
  return text.startsWith('the ') ? `T${text.slice(1)}` : text;
}
