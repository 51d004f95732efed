import type { GatewayLimits } from '../upstream/limits.ts';
import { Problem } from '../upstream/problem.ts';
import { readBody } from '../upstream/read-body.ts';
import type { Upstream } from '../upstream/upstream.ts';
import type { ReadAt } from './zip-entry.ts';

/** Bytes to read first, from the end of the file: in most wheels they hold the directory and METADATA. */
const TAIL_BYTES = 128 * 1024;

export interface RemoteFile {
  /** Size in bytes. */
  readonly size: number;
  readonly read: ReadAt;
}

/**
 * Opens a file on the web for random access. Undefined when its server does not support byte ranges (RFC 9110, 14).
 * @throws Problem when the server does not answer as it should
 */
export async function openRemote(
  upstream: Upstream,
  options: { url: string; what: string; unverified: boolean; limits: GatewayLimits; signal: AbortSignal },
): Promise<RemoteFile | undefined> {
  const tail = await readRange(upstream, options, `bytes=-${TAIL_BYTES}`, TAIL_BYTES);
  if (!tail) return undefined;
  const { size, content, start: tailStart } = tail;
  return {
    size,
    read: async (start, length) => {
      if (start >= tailStart) return content.subarray(start - tailStart, start - tailStart + length);
      if (length === 0) return Buffer.alloc(0);
      const range = await readRange(upstream, options, `bytes=${start}-${start + length - 1}`, length);
      if (range?.start !== start)
        throw new Problem(502, `The package index did not send the requested part of ${options.what}.`);
      return range.content;
    },
  };
}

async function readRange(
  upstream: Upstream,
  { url, what, unverified, limits, signal }: Parameters<typeof openRemote>[1],
  range: string,
  limitBytes: number,
): Promise<{ size: number; start: number; content: Buffer } | undefined> {
  const headers = { range, accept: '*/*', 'accept-encoding': 'identity' };
  const response = await upstream.request(new URL(url), { headers, signal, unverified });
  const described = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(response.headers['content-range'] ?? '');
  if (response.status !== 206 || !described) {
    response.body.destroy();
    return undefined;
  }
  const content = await readBody(response, { what, limitBytes, timeMs: limits.pageMs });
  const [start, end, size] = described.slice(1).map(Number) as [number, number, number];
  return content.length === end - start + 1 && end < size ? { size, start, content } : undefined;
}
