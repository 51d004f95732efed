import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import { setTimeout } from 'node:timers/promises';
import { WebSocket } from 'ws';
import type { z } from 'zod';
import type { ClusterAccess } from './access.ts';
import { openAgent } from './agent.ts';
import { ApiRefusal, explain, statusOf } from './answer.ts';
import type { Credentials } from './identity.ts';

/** Longest wait for an answer, in milliseconds, with all attempts. */
const ANSWER_LIMIT_MS = 30_000;
/** Attempts for a request that the server could not answer, or whose connection was broken. */
const MOST_ATTEMPTS = 4;
/** Wait before the second attempt, in milliseconds. It doubles with each. */
const FIRST_WAIT_MS = 100;
/** Longest answer, in bytes. A list of 10,000 pods is about half of it. */
const MOST_BYTES = 128 * 2 ** 20;
/** Statuses of a server that may answer a moment later. */
const PASSING = [429, 500, 502, 503, 504];
/** What Node says of a kept connection that the server has closed meanwhile. */
const BROKEN = ['ECONNRESET', 'EPIPE'];
/** Time to answer an upgrade, in milliseconds. */
const UPGRADE_LIMIT_MS = 30_000;

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
/** Values of one name in a row stand for an array. */
export type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

export interface RequestOptions<T> {
  readonly query?: Query;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** What the answer must look like. */
  readonly schema: z.ZodType<T>;
  readonly signal?: AbortSignal;
  /** Longest wait in milliseconds; 30 s if left out. */
  readonly timeoutMs?: number;
  /** Media type of the body; JSON if left out. */
  readonly contentType?: string;
}

interface Sending {
  readonly query?: Query | undefined;
  readonly body?: string | undefined;
  readonly contentType?: string | undefined;
  readonly signal: AbortSignal;
}

/**
 * The API server of a cluster, over a few connections that are kept open. Every wait has a limit. Each method rejects with
 * what `explain` makes of an error: mostly `engine_unavailable`, with an `ApiRefusal` as its cause if the server answered.
 */
export class KubernetesClient implements Disposable {
  readonly access: ClusterAccess;
  /** Namespace of the sandboxes. */
  readonly namespace: string;
  #agent: { readonly of: Credentials; readonly agent: http.Agent } | undefined;

  constructor(access: ClusterAccess) {
    this.access = access;
    this.namespace = access.namespace;
  }

  /** Makes a request, and reads its answer. What changes nothing is tried again while the server cannot answer. */
  async request<T>(method: Method, path: string, options: RequestOptions<T>): Promise<T> {
    const { query, body, schema, timeoutMs = ANSWER_LIMIT_MS, contentType = 'application/json' } = options;
    const limit = AbortSignal.timeout(Math.ceil(timeoutMs));
    const signal = options.signal ? AbortSignal.any([limit, options.signal]) : limit;
    const text = body === undefined ? undefined : JSON.stringify(body);
    try {
      const send = async () => {
        const response = await this.#send(method, path, { query, body: text, contentType, signal });
        return schema.parse(JSON.parse(await readText(response, signal)));
      };
      return await this.#persist(method === 'GET', send, signal);
    } catch (error) {
      // The caller's own reason to stop.
      if (options.signal?.aborted) throw options.signal.reason;
      throw explain(error, this.access.source);
    }
  }

  /** Makes a GET request, and returns its answer as it comes. @param signal ends it, also while it comes */
  async open(path: string, { query, signal }: { query?: Query; signal: AbortSignal }): Promise<IncomingMessage> {
    const head = new AbortController();
    const timer = globalThis.setTimeout(
      () => head.abort(new DOMException('no answer', 'TimeoutError')),
      ANSWER_LIMIT_MS,
    );
    const either = AbortSignal.any([head.signal, signal]);
    try {
      return await this.#persist(true, () => this.#send('GET', path, { query, signal: either }), either);
    } catch (error) {
      throw explain(error, this.access.source);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Opens a WebSocket without compression. It is paused. */
  async upgrade(path: string, query: Query, protocol: string): Promise<WebSocket> {
    try {
      const signal = AbortSignal.timeout(UPGRADE_LIMIT_MS);
      return await this.#persist(true, () => this.#upgrade(path, query, protocol), signal, []);
    } catch (error) {
      throw explain(error, this.access.source);
    }
  }

  /** Closes the connections that nobody uses. */
  [Symbol.dispose](): void {
    this.#agent?.agent.destroy();
    this.#agent = undefined;
  }

  /** Tries again what may succeed then: with fresh credentials once, and where it is harmless, after a wait. */
  async #persist<T>(
    isHarmless: boolean,
    attempt: () => Promise<T>,
    signal: AbortSignal,
    passing = PASSING,
  ): Promise<T> {
    let isFresh = false;
    for (let made = 1; ; made += 1) {
      try {
        return await attempt();
      } catch (error) {
        const status = statusOf(error);
        if (status === 401 && !isFresh) {
          isFresh = true;
          await this.access.credentials(true);
          continue;
        }
        const mayPass = isHarmless
          ? isBroken(error) || (status !== undefined && passing.includes(status))
          : status === 429;
        if (!mayPass || made >= MOST_ATTEMPTS || signal.aborted) throw error;
        const wanted = error instanceof ApiRefusal && error.retryAfterS ? error.retryAfterS * 1000 : 0;
        if (!isBroken(error)) await waitUnlessAborted(Math.max(wanted, FIRST_WAIT_MS * 2 ** (made - 1)), signal, error);
      }
    }
  }

  async #send(method: Method, path: string, sending: Sending): Promise<IncomingMessage> {
    const { agent, headers } = await this.#connection();
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const url = this.#url(path, sending.query);
    const { body, contentType = 'application/json' } = sending;
    const request = (url.protocol === 'http:' ? http : https).request(url, {
      method,
      agent,
      headers: {
        accept: 'application/json',
        ...headers,
        ...(body === undefined ? {} : { 'content-type': contentType, 'content-length': Buffer.byteLength(body) }),
      },
      signal: sending.signal,
    });
    request.on('response', resolve).on('error', reject).end(body);
    const response = await promise;
    const { statusCode = 0 } = response;
    if (statusCode >= 200 && statusCode < 300) return response;
    throw new ApiRefusal(statusCode, await readText(response, sending.signal), response.headers['retry-after']);
  }

  async #upgrade(path: string, query: Query, protocol: string): Promise<WebSocket> {
    const { agent, headers } = await this.#connection();
    const { promise, resolve, reject } = Promise.withResolvers<WebSocket>();
    const url = this.#url(path, query);
    const socket = new WebSocket(url, protocol, {
      agent,
      ...(url.protocol === 'https:' ? { generateMask: noMask } : {}),
      headers,
      handshakeTimeout: UPGRADE_LIMIT_MS,
      perMessageDeflate: false,
      maxPayload: MOST_BYTES,
    });
    // What comes at once waits for whoever reads it.
    socket.on('open', () => {
      socket.pause();
      resolve(socket);
    });
    socket.on('error', reject);
    socket.on('unexpected-response', (request, response) => {
      const signal = AbortSignal.timeout(UPGRADE_LIMIT_MS);
      readText(response, signal)
        .then((text) => reject(new ApiRefusal(response.statusCode ?? 0, text, response.headers['retry-after'])), reject)
        .finally(() => request.destroy());
    });
    return await promise;
  }

  /** The agent and the headers of the present credentials. */
  async #connection(): Promise<{ agent: http.Agent; headers: Record<string, string | string[]> }> {
    const credentials = await this.access.credentials();
    const last = this.#agent;
    if (last?.of.cert === credentials.cert && last?.of.key === credentials.key && last) {
      return { agent: last.agent, headers: { ...credentials.headers } };
    }
    const agent = openAgent(this.access, credentials);
    this.#agent = { of: credentials, agent };
    return { agent, headers: { ...credentials.headers } };
  }

  #url(path: string, query: Query = {}): URL {
    const { server } = this.access;
    const url = new URL(server.pathname.replace(/\/$/, '') + path, server);
    for (const [name, value] of Object.entries(query)) {
      for (const one of Array.isArray(value) ? value : [value])
        if (one !== undefined) url.searchParams.append(name, `${one}`);
    }
    return url;
  }
}

/**
 * Masks nothing. Masks keep others on the way from taking the bytes for something else, which TLS does as well, and cost
 * about as much processor time as all else of sending.
 */
function noMask(mask: Buffer): void {
  mask.fill(0);
}

function isBroken(error: unknown): boolean {
  return error instanceof Error && 'code' in error && BROKEN.includes(String(error.code));
}

/** Waits, or throws the error if the time for all attempts is over before. */
async function waitUnlessAborted(ms: number, signal: AbortSignal, error: unknown): Promise<void> {
  try {
    await setTimeout(ms, undefined, { signal });
  } catch {
    throw error;
  }
}

/** Reads an answer to its end. @throws Error if it is too long, or if the signal aborts */
async function readText(response: IncomingMessage, signal: AbortSignal): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  const stop = () => response.destroy(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  try {
    for await (const chunk of response) {
      const bytes: Buffer = chunk;
      length += bytes.length;
      if (length > MOST_BYTES) throw new Error(`an answer of more than ${MOST_BYTES} bytes`);
      chunks.push(bytes);
    }
  } finally {
    signal.removeEventListener('abort', stop);
  }
  return Buffer.concat(chunks).toString();
}
