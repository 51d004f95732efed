import { AsyncLocalStorage } from 'node:async_hooks';
import type { SecureContext } from 'node:tls';
import { Agent, type Dispatcher, type ProxyAgent, type RequestInit as UndiciInit, fetch as undiciFetch } from 'undici';
import { findAuthorities } from '../../packages/index/host-indexes.ts';
import { loadAuthorities } from '../../packages/upstream/authorities.ts';
import { proxyFor } from '../../packages/upstream/proxy.ts';
import { openTunnels } from '../../packages/upstream/proxy-agent.ts';
import { type BodyWatch, limitBytes } from './limit-bytes.ts';

/** How hosts are reached, by the variables of this host. */
export interface HostAccess {
  readonly caFile?: string | undefined;
  readonly proxy: Readonly<Record<string, string>>;
}

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

/** Time in milliseconds to connect to a host. */
const CONNECT_MS = 10_000;
/** No limits of time: a call has one of its own, and a stream may be silent. */
const POOL = { headersTimeout: 0, bodyTimeout: 0 };
const watches = new AsyncLocalStorage<AnswerWatch>();

/** Runs work whose requests are watched. */
export function watchAnswers<T>(watch: AnswerWatch, work: () => Promise<T>): Promise<T> {
  return watches.run(watch, work);
}

interface Agents {
  readonly secureContext: SecureContext;
  readonly direct: Agent;
  /** By the address of their proxy. */
  readonly tunnels: Map<string, ProxyAgent>;
}

/** Sends requests to tool servers as this host reaches them. */
export class UpstreamHosts {
  readonly #access: HostAccess;
  #agents: Agents | undefined;

  constructor(access: HostAccess) {
    this.#access = access;
  }

  async close(): Promise<void> {
    const agents = this.#agents;
    this.#agents = undefined;
    if (agents) await Promise.all([agents.direct, ...agents.tunnels.values()].map((agent) => agent.destroy()));
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
      const response = await undiciFetch(target, { ...toUndici(init), dispatcher: this.#dispatcherFor(target) });
      const { status, statusText, headers, body } = response;
      if (!body) watch?.end();
      const bounded = body && limitBytes(body, watch ? ofAnswer(watch) : { take, exceed: endless });
      return new Response(bounded, { status, statusText, headers: [...headers] });
    };
  }

  #dispatcherFor(url: URL): Dispatcher {
    this.#agents ??= this.#open();
    const proxy = proxyFor(url, this.#access.proxy);
    if (!proxy) return this.#agents.direct;
    const { tunnels, secureContext } = this.#agents;
    const known = tunnels.get(proxy.href);
    const agent = known ?? openTunnels(proxy, { secureContext, pool: POOL, timeoutMs: CONNECT_MS });
    tunnels.set(proxy.href, agent);
    return agent;
  }

  #open(): Agents {
    const secureContext = loadAuthorities(findAuthorities(this.#access.caFile));
    const direct = new Agent({ ...POOL, connect: { secureContext, timeout: CONNECT_MS } });
    return { secureContext, direct, tunnels: new Map<string, ProxyAgent>() };
  }
}

function toUndici({ method, headers, body, signal, redirect }: RequestInit): UndiciInit {
  return {
    ...(method === undefined ? {} : { method }),
    headers: [...new Headers(headers)],
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
