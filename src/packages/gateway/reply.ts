import { once } from 'node:events';
import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { Problem } from '../upstream/problem.ts';

/** The other side is gone, or reads nothing: there is nobody to tell. */
export class GoneError extends Error {}

export interface Reply {
  readonly response: ServerResponse;
  /** Without a body. */
  readonly isHead: boolean;
  /** Aborted when the connection is gone. */
  readonly signal: AbortSignal;
  /** Time for the client to take what is sent. */
  readonly idleMs: number;
}

/** Sends chunks no faster than they are taken, and sees the answer out. @throws GoneError */
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
 * Says a problem everywhere that installers look: pip shows the reason phrase, uv the `detail` of a problem document
 * (RFC 9457), people the body.
 */
export async function sendProblem(reply: Reply, problem: Problem): Promise<void> {
  const { response } = reply;
  if (response.headersSent) {
    // The answer has begun: only its missing end can tell that it is no good, unless it has come to one.
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
    // What is left of such a request is not worth reading.
    ...(problem.status === 400 || problem.status === 405 ? { connection: 'close' } : {}),
  });
  await sendBody(reply, [body]);
}
