import { once } from 'node:events';
import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { Problem } from '../upstream/problem.ts';

/** Error when the client has gone, or does not read. It cannot be answered. */
export class GoneError extends Error {}

export interface Reply {
  readonly response: ServerResponse;
  /** Whether the answer has no body. */
  readonly isHead: boolean;
  /** Aborts when the connection closes. */
  readonly signal: AbortSignal;
  /** Time for the client to read what was sent, in milliseconds. */
  readonly idleMs: number;
}

/**
 * Sends chunks as fast as the client reads them, and waits for the end of the answer.
 * @throws GoneError when the client has gone, or does not read for `idleMs`
 */
export async function sendBody(
  { response, isHead, signal, idleMs }: Reply,
  chunks: AsyncIterable<Buffer> | Iterable<Buffer>,
  sent: (bytes: number) => void = () => {},
): Promise<void> {
  if (!isHead) {
    for await (const chunk of chunks) {
      if (signal.aborted) throw new GoneError();
      if (!response.write(chunk)) await eventWithin(response, 'drain', signal, idleMs);
      sent(chunk.length);
    }
  }
  response.end();
  if (!response.writableFinished) await eventWithin(response, 'finish', signal, idleMs);
}

async function eventWithin(response: ServerResponse, event: string, signal: AbortSignal, ms: number): Promise<void> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), ms);
  try {
    await once(response, event, { signal: AbortSignal.any([signal, late.signal]) });
  } catch {
    response.destroy();
    throw new GoneError();
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Sends a problem in the reason phrase, which pip shows, and in a problem document (RFC 9457), whose `detail` uv shows.
 */
export async function sendProblem(reply: Reply, problem: Problem): Promise<void> {
  const { response } = reply;
  if (response.headersSent) {
    // The answer has begun, so the client can only be told by cutting it off, unless it is already complete.
    if (!response.writableFinished) response.destroy();
    return;
  }
  const message = problem.message.replace(/[^\x20-\x7e]+/g, ' ').slice(0, 500);
  const title = STATUS_CODES[problem.status] ?? 'Error';
  const body = Buffer.from(
    `${JSON.stringify({ type: 'about:blank', title, status: problem.status, detail: message })}\n`,
  );
  response.writeHead(problem.status, message, {
    'content-type': 'application/problem+json',
    'content-length': body.length,
    'cache-control': 'no-store',
    ...(problem.status === 405 ? { allow: 'GET, HEAD' } : {}),
    ...(problem.status === 429 ? { 'retry-after': '1' } : {}),
    // The rest of such a request is not read.
    ...(problem.status === 400 || problem.status === 405 ? { connection: 'close' } : {}),
  });
  await sendBody(reply, [body]);
}
