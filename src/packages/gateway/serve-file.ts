import type { IncomingMessage } from 'node:http';
import { parseRange } from '../../lib/byte-range.ts';
import { unlessAborted } from '../../lib/unless-aborted.ts';
import type { CachedFile } from '../cache/disk-cache.ts';
import type { Download } from '../files/download.ts';
import type { FileStore } from '../files/file-store.ts';
import type { IndexFile } from '../index/index-page.ts';
import { HashMismatch } from '../upstream/problem.ts';
import { type Reply, sendBody } from './reply.ts';

export interface FileDelivery {
  readonly bytes: number;
  readonly cached: boolean;
}

export interface DeliveryOptions {
  readonly files: FileStore;
  readonly heldBackBytes: number;
  /** Called as bytes are sent. */
  progress(event: { bytes: number; total?: number; cached: boolean }): void;
}

/** Bytes that one read of a file asks for. */
const READ_BYTES = 262_144;
/** Cache-Control of files: the content at one URL never changes. */
const FOREVER = 'max-age=31536000, immutable';

/**
 * Answers a request for `/files/…` from the cache, or from the index while the file is being cached.
 * @throws Problem when the file cannot be obtained
 */
export async function serveFile(
  request: IncomingMessage,
  reply: Reply,
  file: IndexFile,
  options: DeliveryOptions,
): Promise<FileDelivery> {
  const { files } = options;
  const cached = await files.open(file);
  if (cached) {
    await using open = cached;
    return await sendCached(request, reply, file, { open, cached: true, options });
  }
  if (reply.isHead && file.size !== undefined) {
    reply.response.writeHead(200, { ...headersOf(file), 'content-length': file.size });
    await sendBody(reply, []);
    return { bytes: 0, cached: false };
  }
  // A part of a file may not reach its end, which is withheld until the check. So only a checked file is sent in parts.
  if (request.headers.range !== undefined || reply.isHead) {
    await using open = await files.obtain(file, reply.signal);
    return await sendCached(request, reply, file, { open, cached: false, options });
  }
  const download = files.download(file);
  download.join();
  try {
    return await sendDownload(request, reply, download, options);
  } finally {
    download.leave();
  }
}

async function sendDownload(
  request: IncomingMessage,
  reply: Reply,
  download: Download,
  options: DeliveryOptions,
): Promise<FileDelivery> {
  const { file } = download;
  await unlessAborted(download.begun, reply.signal);
  const { total } = download;
  options.progress({ bytes: 0, cached: false, ...(total === undefined ? {} : { total }) });
  // A small file, or one of unknown size, is checked before it is sent, so that a bad one gets an error message.
  if (total === undefined || total <= options.heldBackBytes) {
    await unlessAborted(download.finished, reply.signal);
    await using open = await options.files.obtain(file, reply.signal);
    return await sendCached(request, reply, file, { open, cached: false, options });
  }
  reply.response.writeHead(200, { ...headersOf(file), 'content-length': total });
  let bytes = 0;
  let mismatch: HashMismatch | undefined;
  const content = followToEnd(download, total, (problem) => {
    mismatch = problem;
  });
  await sendBody(reply, content, (sent) => {
    bytes += sent;
    options.progress({ bytes, total, cached: false });
  });
  if (mismatch) throw mismatch;
  return { bytes, cached: false };
}

/**
 * Yields a file while it is downloaded. An installer would take a missing end for a broken connection and retry. So if
 * the hash of the file turns out to be wrong, the end is replaced by zeros, and the installer's own check of the
 * announced hash fails.
 */
async function* followToEnd(
  download: Download,
  total: number,
  onMismatch: (problem: HashMismatch) => void,
): AsyncGenerator<Buffer, void, undefined> {
  let bytes = 0;
  try {
    for await (const chunk of download.follow()) {
      bytes += chunk.length;
      yield chunk;
    }
  } catch (thrown) {
    if (!(thrown instanceof HashMismatch)) throw thrown;
    onMismatch(thrown);
    for (; bytes < total; bytes += READ_BYTES) yield Buffer.alloc(Math.min(READ_BYTES, total - bytes));
  }
}

async function sendCached(
  request: IncomingMessage,
  reply: Reply,
  file: IndexFile,
  { open, cached, options }: { open: CachedFile; cached: boolean; options: DeliveryOptions },
): Promise<FileDelivery> {
  const headers = headersOf(file);
  const { size: total } = open;
  const send = async (status: number, more: Record<string, string | number>, start = 0, end = -1) => {
    reply.response.writeHead(status, { ...headers, ...more });
    let bytes = 0;
    await sendBody(reply, readPart(open, start, end), (sent) => {
      bytes += sent;
      options.progress({ bytes, total, cached });
    });
    return { bytes, cached };
  };
  if (isKnown(request.headers['if-none-match'], headers.etag)) return await send(304, {});
  const ifRange = request.headers['if-range'];
  const range =
    ifRange === undefined || ifRange === headers.etag ? parseRange(request.headers.range, total) : undefined;
  if (range === 'unsatisfiable') return await send(416, { 'content-range': `bytes */${total}`, 'content-length': 0 });
  if (!range) return await send(200, { 'content-length': total }, 0, total - 1);
  const { start, end } = range;
  const described = { 'content-range': `bytes ${start}-${end}/${total}`, 'content-length': end - start + 1 };
  return await send(206, described, start, end);
}

function headersOf({ id }: IndexFile) {
  return {
    'content-type': 'application/octet-stream',
    'accept-ranges': 'bytes',
    etag: `"${id}"`,
    'cache-control': FOREVER,
  };
}

function isKnown(ifNoneMatch: string | undefined, etag: string): boolean {
  return ifNoneMatch?.split(',').some((candidate) => candidate.trim().replace(/^W\//, '') === etag) ?? false;
}

async function* readPart({ handle }: CachedFile, start: number, end: number): AsyncGenerator<Buffer, void, undefined> {
  for (let at = start; at <= end; ) {
    const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, end - at + 1));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
    if (bytesRead === 0) throw new Error('a cached file has become shorter');
    yield buffer.subarray(0, bytesRead);
    at += bytesRead;
  }
}
