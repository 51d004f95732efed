import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { Context } from 'hono';
import { GloveboxError } from '../../errors.ts';
import { beforeBegin } from '../../execution/begun.ts';
import { followSignal } from '../../lib/follow-signal.ts';
import { NotBegun, type PeerCall } from '../../peers/client.ts';
import type { Forwarded } from '../../peers/peer.ts';
import { RequestBody } from '../body.ts';
import { answerByPieces, type PieceBody, takesPieces } from '../piece-body.ts';
import type { Env } from '../route.ts';
import { type Place, Places, type PlacesOptions } from './find-place.ts';
import { GivenUp, throwIfGivenUp } from './given-up.ts';
import { headersOf, headersToPass } from './headers.ts';
import { type Merged, merge } from './merge.ts';
import { untilGivenUp } from './next-attempt.ts';
import type { Subject } from './subject.ts';
import { wholeEvents } from './whole-events.ts';

export interface ForwardingOptions extends PlacesOptions {
  /** Longest wait in milliseconds for somebody who serves a request. */
  readonly patienceMs: number;
}

/** What is to be served. */
interface Seek {
  readonly owner: string;
  readonly subject: Subject;
  /** Whether it may be the first with its idempotency key. */
  readonly begins: boolean;
}

type Again = () => Promise<Response | undefined>;

/** Longest wait for a change that nobody tells, in milliseconds. */
const LOOK_AGAIN_MS = 1000;
/** The other control plane limits how long the body of a request, or the reader of an answer, may be silent. */
const ANY_TIME_MS = 2 ** 31 - 1;
/** Bytes of an answer that is passed on as a whole. */
const SMALL_BYTES = 64 * 1024;

/** Passes requests on to the control planes that serve them. */
export class Forwarding {
  readonly #options: ForwardingOptions;
  readonly #places: Places;

  constructor(options: ForwardingOptions) {
    this.#options = options;
    this.#places = new Places(options);
  }

  /**
   * Passes a request on. Undefined if it is to be served here.
   * @throws GloveboxError `engine_unavailable` when nobody serves it in time, `session_moved` when its end is not known
   */
  async pass(c: Context<Env>, subject: Subject): Promise<Response | undefined> {
    const seek = { owner: c.var.owner, subject, begins: c.req.method === 'POST' };
    return await this.serve(seek, c.req.raw.signal, async (place, signal) => {
      const again = async () => await c.var.again?.(async () => await this.#mayHaveChanged(seek, place, signal));
      return await this.#send(c, place, signal, again);
    });
  }

  /**
   * Has another control plane serve something, as soon as one does. Undefined if this one is to. What one took and gave up
   * before it began is sent once more.
   * @param send sends it once; rejects with {@link NotBegun} if it was not begun
   * @throws GloveboxError as {@link pass} does, or what `send` throws
   */
  async serve<T>(
    seek: Seek,
    signal: AbortSignal,
    send: (place: Place, signal: AbortSignal) => Promise<T>,
  ): Promise<T | undefined> {
    using call = followSignal(signal);
    const deadline = performance.now() + this.#options.patienceMs;
    let wasGivenUp = false;
    for (;;) {
      const place = await this.#find(seek, call.signal);
      if (!place) return undefined;
      try {
        return await send(place, signal);
      } catch (error) {
        if (!(error instanceof NotBegun)) throw error;
        if (error instanceof GivenUp && wasGivenUp) throw error.error;
        wasGivenUp ||= error instanceof GivenUp;
        const leftMs = deadline - performance.now();
        if (leftMs <= 0) throw unserved(error);
        const waitMs = Math.min(leftMs, LOOK_AGAIN_MS);
        if (error instanceof GivenUp) await this.#mayHaveChanged(seek, place, signal, waitMs);
        else await this.#changed(seek.owner, place, waitMs, signal);
      }
    }
  }

  /** Adds to a list of this control plane what the others have. */
  async complete(c: Context<Env>, answer: Response, merged: Merged): Promise<Response> {
    if (answer.status !== 200 || this.#options.group.others.length === 0) return answer;
    const own = (await answer.json()) as Record<string, unknown>;
    const others = await this.gather(c.req.path, this.#tell(c), c.req.raw.signal);
    return c.json(merge(merged, [own, ...others]));
  }

  /** Asks all others for the JSON at a path. What cannot be had is left out. */
  async gather(path: string, forwarded: Forwarded, signal: AbortSignal): Promise<Record<string, unknown>[]> {
    const { group, client } = this.#options;
    const asked = group.others.map(async (peer) => {
      try {
        const call = { method: 'GET', path, headers: {}, forwarded, signal };
        const answer = await client.send(peer, call);
        const body = await buffer(answer);
        return answer.statusCode === 200 ? [JSON.parse(body.toString()) as Record<string, unknown>] : [];
      } catch {
        signal.throwIfAborted();
        return [];
      }
    });
    return (await Promise.all(asked)).flat();
  }

  /** @param again serves the request once more, if its answer is a stream whose call was given up before it began */
  async #send(c: Context<Env>, place: Place, signal: AbortSignal, again: Again): Promise<Response> {
    const { method, raw } = c.req;
    const { client } = this.#options;
    const { pathname, search } = new URL(raw.url);
    const headers = headersToPass(raw.headers);
    const call = { method, path: pathname + search, headers, forwarded: this.#tell(c, place.session), signal };
    const upgrade = c.env?.upgrade;
    if (upgrade) {
      const asked = { ...call, headers: { ...headers, Connection: 'Upgrade', Upgrade: 'websocket' } };
      const answer = await client.upgrade(place.peer, asked);
      if ('socket' in answer && 'head' in answer) {
        upgrade.passOn(answer);
        return c.body(null, 204);
      }
      await throwIfGivenUp(answer);
      return await toResponse(c, answer);
    }
    const text = c.var.body;
    if (text === undefined && method !== 'GET' && method !== 'HEAD')
      return await toResponse(c, await this.#upload(c, place, call));
    const counted = text === undefined ? headers : { ...headers, 'content-length': Buffer.byteLength(text) };
    const answer = await client.send(place.peer, { ...call, headers: counted, body: text });
    await throwIfGivenUp(answer);
    return await toResponse(c, answer, again);
  }

  /** Sends a body as it comes, and reads the rest of one that is refused for a moment, as a route does. */
  async #upload(c: Context<Env>, { peer }: Place, call: PeerCall): Promise<IncomingMessage> {
    const body = new RequestBody(c.req.raw, ANY_TIME_MS, c.env?.incoming);
    const chunks = body.chunks(Number.POSITIVE_INFINITY);
    const forwarded = { ...call.forwarded, isStream: true } as const;
    let isSent = false;
    const sent = {
      [Symbol.asyncIterator]: () => {
        isSent = true;
        return chunks[Symbol.asyncIterator]();
      },
    };
    try {
      const answer = await this.#options.client.send(peer, { ...call, forwarded, body: sent });
      if (!isSent) await throwIfGivenUp(answer);
      c.set('rest', body.discard());
      return answer;
    } catch (error) {
      // It may still be sent to another.
      if (!(error instanceof NotBegun)) c.set('rest', body.discard());
      throw error;
    }
  }

  #tell({ var: { owner, approver } }: Context<Env>, session?: string): Forwarded {
    return { owner, ...(approver ? { approver } : {}), ...(session === undefined ? {} : { session }) };
  }

  async #find({ owner, subject, begins }: Seek, signal: AbortSignal): Promise<Place | undefined> {
    return await beforeBegin(this.#places.find(owner, subject, begins, signal));
  }

  /** Waits a while for a change of who serves what a control plane gave up, unless it is known already. */
  async #mayHaveChanged(seek: Seek, place: Place, signal: AbortSignal, ms = LOOK_AGAIN_MS): Promise<void> {
    const found = await this.#find(seek, signal);
    if (found?.peer.name === place.peer.name) await this.#changed(seek.owner, place, ms, signal);
  }

  /** Waits for a change of who holds the session, or a while. */
  async #changed(owner: string, { session }: Place, ms: number, signal: AbortSignal): Promise<void> {
    const over = AbortSignal.any([AbortSignal.timeout(Math.ceil(ms)), signal]);
    if (session !== undefined) await this.#options.locator.changed(owner, session, over);
    else await new Promise<void>((resolve) => over.addEventListener('abort', () => resolve(), { once: true }));
    signal.throwIfAborted();
  }
}

async function toResponse(c: Context<Env>, answer: IncomingMessage, again?: Again): Promise<Response> {
  const status = answer.statusCode ?? 502;
  const headers = headersOf(answer);
  const size = answer.headers['content-length'];
  if (c.req.method === 'HEAD' || status === 204 || status === 304) {
    answer.resume();
    return new Response(null, { status, headers });
  }
  if (status >= 400 || (size !== undefined && Number(size) <= SMALL_BYTES)) {
    headers.delete('content-length');
    return new Response(new Uint8Array(await whole(answer)), { status, headers });
  }
  if (!takesPieces(c.env?.outgoing)) {
    return new Response(Readable.toWeb(answer) as ReadableStream<Uint8Array>, { status, headers });
  }
  const end = async () => void answer.destroy();
  const isEvents = headers.get('content-type')?.startsWith('text/event-stream');
  return answerByPieces(
    { batches: isEvents ? eventsOf(answer, again) : piecesOf(answer), end, isLive: true, stallMs: ANY_TIME_MS },
    { status, headers },
  );
}

/** @throws GloveboxError `session_moved` when it breaks off */
async function whole(answer: IncomingMessage): Promise<Buffer> {
  try {
    return await buffer(answer);
  } catch (cause) {
    throw new GloveboxError('session_moved', 'The server that worked on this call did not finish its answer.', {
      begun: true,
      cause,
    });
  }
}

function eventsOf(answer: IncomingMessage, again: Again | undefined): PieceBody['batches'] {
  return again ? untilGivenUp(answer, again) : wholeEvents(answer);
}

async function* piecesOf(answer: IncomingMessage): AsyncGenerator<readonly Uint8Array[], void, undefined> {
  for await (const piece of answer) yield [piece as Buffer];
}

function unserved(cause: unknown): GloveboxError {
  return new GloveboxError('engine_unavailable', 'The server that has this session does not answer.', {
    hint: 'Nothing of the call was begun. Call again.',
    begun: false,
    retryAfterS: 5,
    cause,
  });
}
