import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { GloveboxError, sayBegun, serverStopping, toGloveboxError } from '../errors.ts';

/** Longest wait of a request for the start, in milliseconds. A start that builds an image takes longer. */
const PATIENCE_MS = 30_000;
/** Most requests that wait at once. */
const MOST_WAITING = 1000;

/**
 * Requests to a server that may still be starting. Until it serves, `GET /health` is answered with the status `starting`,
 * and all other requests wait, unread.
 */
export class StartingRequests {
  readonly #waiting = new Map<ServerResponse, { readonly request: IncomingMessage; readonly timer: NodeJS.Timeout }>();
  readonly #patienceMs: number;
  #serve: RequestListener | undefined;
  #isStopping = false;

  constructor(patienceMs = PATIENCE_MS) {
    this.#patienceMs = patienceMs;
  }

  /** Takes the requests of an HTTP server. */
  readonly listener: RequestListener = (request, response) => {
    if (this.#serve) this.#serve(request, response);
    else if (isHealthCheck(request)) answer(response, { status: 'starting' });
    else if (this.#isStopping) refuse(response, serverStopping());
    else if (this.#waiting.size >= MOST_WAITING) refuse(response, stillStarting());
    else this.#wait(request, response);
  };

  /** Passes all requests to a listener from now on, and begins with those that wait. */
  serve(listener: RequestListener): void {
    this.#serve = listener;
    for (const { request, response } of this.#takeWaiting()) listener(request, response);
  }

  /** Refuses the requests that wait, and later ones, because the server stops before it serves. Else does nothing. */
  stop(): void {
    this.#isStopping = true;
    for (const { response } of this.#takeWaiting()) refuse(response, serverStopping());
  }

  #wait(request: IncomingMessage, response: ServerResponse): void {
    const giveUp = () => {
      this.#waiting.delete(response);
      refuse(response, stillStarting());
    };
    this.#waiting.set(response, { request, timer: setTimeout(giveUp, this.#patienceMs) });
    response.once('close', () => this.#leave(response));
  }

  #leave(response: ServerResponse): void {
    clearTimeout(this.#waiting.get(response)?.timer);
    this.#waiting.delete(response);
  }

  /** Returns the requests that waited, in the order in which they came. */
  #takeWaiting(): { readonly request: IncomingMessage; readonly response: ServerResponse }[] {
    const waiting = [...this.#waiting].map(([response, { request }]) => ({ request, response }));
    for (const { response } of waiting) this.#leave(response);
    return waiting;
  }
}

function isHealthCheck({ method, url = '' }: IncomingMessage): boolean {
  return (method === 'GET' || method === 'HEAD') && /^\/health(\?|$)/.test(url);
}

function stillStarting(): GloveboxError {
  return new GloveboxError('engine_unavailable', 'The server is still starting.', {
    hint: 'The start continues. Call again in a minute.',
  });
}

/** Its connection is closed, because the body of the request is not read. */
function refuse(response: ServerResponse, error: GloveboxError): void {
  response.setHeader('Connection', 'close');
  answer(response, { error: toGloveboxError(sayBegun(error, false)).toRestBody() });
}

function answer(response: ServerResponse, body: object): void {
  const headers = { 'Content-Type': 'application/json', 'Cache-Control': 'no-store', 'Retry-After': '1' };
  response.writeHead(503, headers).end(JSON.stringify(body));
}
