import type { ServerResponse } from 'node:http';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { STALL_MS, stalled } from './body.ts';

/** The body of an answer, by pieces that may be used until the next are asked for. */
export interface PieceBody {
  readonly batches: AsyncIterable<readonly Uint8Array[]>;
  /** Called once when everything was sent, or with the reason why not; without one when the client has gone. */
  readonly end: (failure?: unknown) => Promise<void>;
  /** Whether the headers are sent before the first pieces are there. */
  readonly isLive?: true;
  /** Time in milliseconds without progress after which the answer is cut off. */
  readonly stallMs?: number | undefined;
}

/** Node's side of an answer. */
type Outgoing = Pick<
  ServerResponse,
  'writeHead' | 'flushHeaders' | 'write' | 'end' | 'cork' | 'uncork' | 'destroy' | 'destroyed' | 'on'
>;

/** Whether an answer can be written by pieces: whether there is a server of Node's below. */
export function takesPieces(outgoing: object | undefined): outgoing is Outgoing {
  return outgoing !== undefined && 'writeHead' in outgoing;
}

const bodies = new WeakMap<Response, PieceBody>();

/** Makes an answer whose body is written to Node's response, without a web stream in between. */
export function answerByPieces(body: PieceBody, init: ResponseInit): Response {
  const answer = new Response(null, init);
  bodies.set(answer, body);
  return answer;
}

/** The body of an answer of {@link answerByPieces}, for who sends it as a part of another. */
export function bodyOf(answer: Response): PieceBody | undefined {
  return bodies.get(answer);
}

/** Sends an answer of {@link answerByPieces}. Returns what the server's library is to do with it, or with any other. */
export function sendPieces(answer: Response, outgoing: object | undefined): Response {
  const body = bodies.get(answer);
  if (!body || !takesPieces(outgoing)) return answer;
  outgoing.writeHead(answer.status, Object.fromEntries(answer.headers));
  if (body.isLive) outgoing.flushHeaders();
  void transmit(outgoing, body);
  return RESPONSE_ALREADY_SENT;
}

/**
 * Writes as fast as the client receives. When the client goes away, or receives nothing for too long, the answer is cut
 * off, because an error can no longer be sent.
 */
async function transmit(outgoing: Outgoing, { batches, end, stallMs = STALL_MS }: PieceBody): Promise<void> {
  let failure: unknown;
  /** Whether the client takes something at the moment. */
  let isWaiting = false;
  const stall = setTimeout(() => {
    if (!isWaiting) return;
    failure = stalled(stallMs);
    outgoing.destroy();
  }, stallMs);
  let giveUp = (): void => {};
  outgoing.on('error', () => {}); // Each write tells it, too.
  outgoing.on('close', () => giveUp());
  try {
    for await (const batch of batches) {
      stall.refresh();
      isWaiting = true;
      await new Promise<void>((resolve, reject) => {
        // What still waits for its turn on the connection is never told that it was not written.
        giveUp = () => reject(new Error('the client has gone'));
        if (outgoing.destroyed) giveUp();
        else write(outgoing, batch, (error) => (error ? reject(error) : resolve()));
      });
      isWaiting = false;
    }
    clearTimeout(stall);
    await end();
    outgoing.end();
  } catch (error) {
    clearTimeout(stall);
    const hasGone = isWaiting || outgoing.destroyed;
    outgoing.destroy();
    await end(failure ?? (hasGone ? undefined : error));
  }
}

/** Writes pieces together. @param onWritten called when their memory is no longer used, with an error if they were not sent */
function write(outgoing: Outgoing, pieces: readonly Uint8Array[], onWritten: (error?: Error | null) => void): void {
  outgoing.cork();
  for (const [at, piece] of pieces.entries()) outgoing.write(piece, at === pieces.length - 1 ? onWritten : undefined);
  outgoing.uncork();
}
