import { lookup as resolve } from 'node:dns';
import type { LookupFunction } from 'node:net';
import type { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import type { SecureContext } from 'node:tls';
import { Agent, type Dispatcher, type ProxyAgent } from 'undici';
import { unlessAborted } from '../../lib/unless-aborted.ts';
import { guardLookup, InternalAddressError, isInternalHost } from '../../outbound/addresses.ts';
import { loadAuthorities } from '../../outbound/authorities.ts';
import { basicAuthorization, proxyAuthorization, proxyFor } from '../../outbound/proxy.ts';
import { openTunnels } from '../../outbound/proxy-agent.ts';
import { currentTrace, trace } from '../../telemetry/trace.ts';
import type { GatewayLimits } from './limits.ts';
import { Problem } from './problem.ts';
import { bareAddress, sameHost } from './web-address.ts';

export interface UpstreamOptions {
  /** URLs of the configured indexes, with their credentials. */
  readonly configured: readonly URL[];
  readonly caFile?: string | undefined;
  readonly proxy: Readonly<Record<string, string>>;
  readonly limits: GatewayLimits;
  /** Resolver of host names; tests replace it. */
  readonly resolve?: LookupFunction;
}

export interface UpstreamRequest {
  readonly method?: 'GET' | 'HEAD';
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Whether no hash verifies the answer, as for a page. Redirects from https to http are then refused. */
  readonly unverified: boolean;
}

export interface UpstreamResponse {
  readonly status: number;
  /** URL of the answer, after all redirects. */
  readonly url: URL;
  /** Values by lower-case name; if a header occurs several times, the first. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Readable;
}

type Answer = Omit<UpstreamResponse, 'url'>;

/** How a URL is requested: by which agent, from which origin, with which path. */
interface Route {
  readonly dispatcher: Dispatcher;
  readonly origin: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Redirects that one request may follow. */
const MOST_REDIRECTS = 5;
/** Options of each pool. `connections` limits what one slow host can occupy. The time limits are set by the callers. */
const POOL = { connections: 100, headersTimeout: 0, bodyTimeout: 0 };
/** Error codes of a connection that its server closes while a request is sent. */
const CONNECTION_LOST = ['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'];
/** User-Agent of requests; some indexes refuse clients without one. */
const USER_AGENT = 'glovebox-package-gateway';

/**
 * Sends requests to the configured indexes and to the hosts that they link to. A host that is not configured must have
 * a public address. This is checked as the connection is made, so that a name cannot resolve to another address later.
 */
export class Upstream {
  readonly #options: UpstreamOptions;
  readonly #secureContext: SecureContext;
  readonly #unguarded: Agent;
  readonly #guarded: Agent;
  readonly #tunnels = new Map<string, ProxyAgent>();

  constructor(options: UpstreamOptions) {
    this.#options = options;
    this.#secureContext = loadAuthorities(options.caFile);
    const connect = { secureContext: this.#secureContext, timeout: options.limits.responseMs };
    this.#unguarded = new Agent({ ...POOL, connect });
    this.#guarded = new Agent({ ...POOL, connect: { ...connect, lookup: guardLookup(options.resolve ?? resolve) } });
    // A proxy that cannot be used is reported at the start, not at the first installation.
    for (const url of options.configured) proxyFor(url, options.proxy);
  }

  close(): void {
    for (const agent of [this.#unguarded, this.#guarded, ...this.#tunnels.values()]) void agent.destroy();
  }

  /** Whether a URL is at a configured index, which may have a private address and gets credentials. */
  isConfigured(url: URL): boolean {
    return this.#options.configured.some((index) => sameHost(index, url));
  }

  /**
   * Sends a request and follows redirects. Every status counts as an answer.
   * @throws Problem when there is no answer, or the URL is refused
   */
  async request(url: URL, request: UpstreamRequest): Promise<UpstreamResponse> {
    // What no installation waits for has no span: the code of a sandbox could make any number.
    if (!currentTrace()) return await this.#follow(url, request);
    const { method = 'GET' } = request;
    return await trace(
      method,
      async (span) => {
        span?.set({ 'http.request.method': method, 'server.address': url.hostname, 'server.port': portOf(url) });
        const answer = await this.#follow(url, request);
        span?.set({ 'http.response.status_code': answer.status });
        return answer;
      },
      TO_OTHERS,
    );
  }

  async #follow(url: URL, request: UpstreamRequest): Promise<UpstreamResponse> {
    let at = url;
    for (let hop = 0; hop <= MOST_REDIRECTS; hop += 1) {
      const answer = await this.#ask(at, request);
      const { location } = answer.headers;
      if (![301, 302, 303, 307, 308].includes(answer.status) || location === undefined) return { ...answer, url: at };
      answer.body.destroy();
      at = this.#next(at, location, request.unverified);
    }
    throw new Problem(422, 'The package index redirects too many times.', { cause: new Error(`at ${at.host}`) });
  }

  #next(from: URL, location: string, unverified: boolean): URL {
    const to = URL.parse(location, from.href);
    if (!to || (to.protocol !== 'http:' && to.protocol !== 'https:')) {
      throw new Problem(422, 'The package index redirects to something that is not an http or https URL.', {
        lasting: true,
      });
    }
    if (unverified && from.protocol === 'https:' && to.protocol === 'http:') {
      throw new Problem(
        422,
        'The package index redirects from https to http, where the answer could not be verified.',
        {
          cause: new Error(`to ${to.host}`),
          lasting: true,
        },
      );
    }
    to.username = to.password = '';
    return to;
  }

  async #ask(url: URL, asked: UpstreamRequest, isRetry = false): Promise<Answer> {
    const { method = 'GET', headers = {} } = asked;
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new TimeoutError('no answer in time')), this.#options.limits.responseMs);
    const signal = AbortSignal.any([asked.signal, late.signal]);
    try {
      const { dispatcher, ...route } = this.#route(url);
      const options = { ...route, method, headers: { ...headers, ...this.#headersFor(url), ...route.headers }, signal };
      // undici reuses a connection only one event-loop turn after its last body has ended, and would open another.
      await setImmediate();
      // undici observes the signal only once it is connected.
      return toAnswer(await unlessAborted(dispatcher.request(options), signal));
    } catch (cause) {
      // The server may have closed an idle connection just when it was reused.
      if (!isRetry && CONNECTION_LOST.includes((cause as NodeJS.ErrnoException).code ?? '')) {
        return await this.#ask(url, asked, true);
      }
      throw explain(url, cause);
    } finally {
      clearTimeout(timer);
    }
  }

  #route(url: URL): Route {
    const isConfigured = this.isConfigured(url);
    const proxy = proxyFor(url, this.#options.proxy);
    // A proxy resolves names itself, so only the host in the URL can be checked.
    if (!isConfigured && isInternalHost(url.hostname)) throw refused(url);
    if (proxy && url.protocol === 'http:') {
      const headers = { host: url.host, ...proxyAuthorization(proxy) };
      return { dispatcher: this.#unguarded, origin: proxy.origin, path: bareAddress(url).href, headers };
    }
    const dispatcher = proxy ? this.#tunnel(proxy) : isConfigured ? this.#unguarded : this.#guarded;
    return { dispatcher, origin: url.origin, path: `${url.pathname}${url.search}` };
  }

  #tunnel(proxy: URL): ProxyAgent {
    const known = this.#tunnels.get(proxy.href);
    if (known) return known;
    const options = { secureContext: this.#secureContext, pool: POOL, timeoutMs: this.#options.limits.responseMs };
    const agent = openTunnels(proxy, options);
    this.#tunnels.set(proxy.href, agent);
    return agent;
  }

  #headersFor(url: URL): Record<string, string> {
    const index = this.#options.configured.find((candidate) => candidate.username && sameHost(candidate, url));
    return {
      'user-agent': USER_AGENT,
      // Credentials of an https index are never sent over http.
      ...(index && (url.protocol === 'https:' || index.protocol === 'http:')
        ? { authorization: basicAuthorization(index) }
        : {}),
    };
  }
}

const TO_OTHERS = { kind: 'client' } as const;

function portOf({ port, protocol }: URL): number {
  return Number(port || (protocol === 'https:' ? 443 : 80));
}

class TimeoutError extends Error {}

function toAnswer({ statusCode, headers, body }: Dispatcher.ResponseData): Answer {
  // Errors reach the reader of the body. An error of a body without a reader must not end the process.
  body.on('error', () => {});
  const single = Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value[0] : value]);
  return { status: statusCode, headers: Object.fromEntries(single), body };
}

function explain(url: URL, cause: unknown): Problem {
  if (cause instanceof Problem) return cause;
  if (cause instanceof InternalAddressError) return refused(url, cause);
  if (cause instanceof TimeoutError) return new Problem(504, 'The package index did not answer in time.', { cause });
  return new Problem(502, 'The package index cannot be reached.', { cause });
}

function refused(url: URL, cause: Error = new Error(`to ${url.host}`)): Problem {
  const message =
    'The package index points to a private or local address, which only configured indexes (GLOVEBOX_INDEX_URL) may have.';
  return new Problem(422, message, { cause, lasting: true });
}
