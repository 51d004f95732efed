import { AsyncLocalStorage } from 'node:async_hooks';
import type { RequestInit as UndiciInit } from 'undici';
import type { Dispatchers, HostAccess } from '../../outbound/dispatchers.ts';
import { traceFields } from '../../telemetry/trace.ts';
import { type BodyWatch, limitBytes } from './limit-bytes.ts';

/** Watches the answers of a call. Requests that are made for it find this by their asynchronous context. */
export interface AnswerWatch {
  /** Bytes of the answer, decompressed. */
  readonly bytes: number;
  /** Called when the answer has more. */
  readonly exceed: () => void;
  /** Called when a request is sent. */
  readonly begin: () => void;
  /** Called when the answer of a request has ended, complete or not, and the SDK will not ask for the rest. */
  readonly end: () => void;
}

/** The type of `fetch` that the SDK takes. */
export type Fetch = (url: string | URL, init?: RequestInit) => Promise<Response>;

const watches = new AsyncLocalStorage<AnswerWatch>();

/** Runs work whose requests are watched. */
export function watchAnswers<T>(watch: AnswerWatch, work: () => Promise<T>): Promise<T> {
  return watches.run(watch, work);
}

/** Sends requests to tool servers as this host reaches them. */
export class UpstreamHosts {
  readonly #access: HostAccess;
  #dispatchers: Promise<Dispatchers> | undefined;

  constructor(access: HostAccess) {
    this.#access = access;
  }

  async close(): Promise<void> {
    const dispatchers = this.#dispatchers;
    this.#dispatchers = undefined;
    await (await dispatchers)?.close();
  }

  /**
   * Makes the `fetch` of one connection. It follows no redirects: the SDK does, within the origin of the request.
   * @param unaskedBytes bytes that the server may send on its own account between two requests
   * @param endless called when it sends more
   */
  fetchFor(unaskedBytes: number, endless: () => void): Fetch {
    let unasked = unaskedBytes;
    const take = ({ byteLength }: Uint8Array) => {
      unasked -= byteLength;
      return unasked >= 0;
    };
    return async (url, init = {}) => {
      const target = new URL(url);
      const watch = isStreamOfEvents(init) ? undefined : watches.getStore();
      if (watch) unasked = unaskedBytes;
      watch?.begin();
      // A stream of events is for all calls, and a part of none.
      const fields = watch && traceFields();
      const response = await (await this.#load()).send(target, toUndici(init, fields));
      const { status, statusText, headers, body } = response;
      if (!body) watch?.end();
      const bounded = body && limitBytes(body, watch ? ofAnswer(watch) : { take, exceed: endless });
      return new Response(bounded, { status, statusText, headers: [...headers] });
    };
  }

  /** Loads the HTTP client with the first request: most servers have no tool servers. */
  #load(): Promise<Dispatchers> {
    this.#dispatchers ??= import('../../outbound/dispatchers.ts').then(
      ({ Dispatchers: Made }) => new Made(this.#access),
    );
    return this.#dispatchers;
  }
}

function toUndici({ method, headers, body, signal, redirect }: RequestInit, more: object = {}): UndiciInit {
  return {
    ...(method === undefined ? {} : { method }),
    headers: [...new Headers(headers), ...Object.entries(more)],
    // The SDK sends texts only.
    ...(typeof body === 'string' ? { body } : {}),
    ...(signal ? { signal } : {}),
    ...(redirect === undefined ? {} : { redirect }),
  };
}

/** Whether an answer is a stream of what the server has to tell, rather than the answer to a call. */
function isStreamOfEvents({ method, headers }: RequestInit): boolean {
  return method === 'GET' || new Headers(headers).get('mcp-method') === 'subscriptions/listen';
}

function ofAnswer({ bytes, exceed, end }: AnswerWatch): BodyWatch {
  let left = bytes;
  let isResumable = false;
  return {
    take: (chunk) => {
      left -= chunk.byteLength;
      // Of a stream whose events have an id, the SDK asks for the rest.
      isResumable ||= /(^|\n)id:/.test(Buffer.from(chunk).toString('latin1'));
      return left >= 0;
    },
    exceed,
    end: () => {
      if (!isResumable) end();
    },
  };
}
