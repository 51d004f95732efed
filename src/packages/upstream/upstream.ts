import { lookup as resolve } from 'node:dns';
import type { LookupFunction } from 'node:net';
import type { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import type { SecureContext } from 'node:tls';
import { Agent, type Dispatcher, type ProxyAgent } from 'undici';
import { unlessAborted } from '../../lib/unless-aborted.ts';
import { guardLookup, InternalAddressError, isInternalHost } from './addresses.ts';
import { loadAuthorities } from './authorities.ts';
import type { GatewayLimits } from './limits.ts';
import { Problem } from './problem.ts';
import { basicAuthorization, proxyAuthorization, proxyFor } from './proxy.ts';
import { openTunnels } from './proxy-agent.ts';
import { bareAddress, sameHost } from './web-address.ts';

export interface UpstreamOptions {
  /** The http(s) indexes of the configuration, with their credentials. */
  readonly configured: readonly URL[];
  readonly caFile?: string | undefined;
  readonly proxy: Readonly<Record<string, string>>;
  readonly limits: GatewayLimits;
  /** How names become addresses; tests stand in for a resolver that changes its mind. */
  readonly resolve?: LookupFunction;
}

export interface UpstreamRequest {
  readonly method?: 'GET' | 'HEAD';
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Nothing else proves the bytes (a page, a file without a hash): https may not lead to http. */
  readonly unproven: boolean;
}

export interface UpstreamResponse {
  readonly status: number;
  /** Where it came from in the end. */
  readonly url: URL;
  /** By lower-case name; the first of several. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Readable;
}

type Answer = Omit<UpstreamResponse, 'url'>;

/** Whom to ask for a URL, and what for. */
interface Route {
  readonly dispatcher: Dispatcher;
  readonly origin: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const MOST_REDIRECTS = 5;
/** Bounds what one slow host may occupy. Times are those of {@link Upstream} and of who reads the body. */
const POOL = { connections: 100, headersTimeout: 0, bodyTimeout: 0 };
/** How a connection fails that its server closes as it is used. */
const BROKEN_OFF = ['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'];
/** Some indexes refuse clients that do not say who they are. */
const USER_AGENT = 'glovebox-package-gateway';

/**
 * Requests to the configured indexes and to where they point. A host that is not configured is reached only at a
 * public address, checked as the connection is made: what a name resolves to later does not matter.
 */
export class Upstream {
  readonly #options: UpstreamOptions;
  readonly #secureContext: SecureContext;
  readonly #free: Agent;
  readonly #guarded: Agent;
  readonly #tunnels = new Map<string, ProxyAgent>();

  constructor(options: UpstreamOptions) {
    this.#options = options;
    this.#secureContext = loadAuthorities(options.caFile);
    const connect = { secureContext: this.#secureContext, timeout: options.limits.responseMs };
    this.#free = new Agent({ ...POOL, connect });
    this.#guarded = new Agent({ ...POOL, connect: { ...connect, lookup: guardLookup(options.resolve ?? resolve) } });
    // A proxy that cannot be used is said at start, not at the first install.
    for (const url of options.configured) proxyFor(url, options.proxy);
  }

  close(): void {
    for (const agent of [this.#free, this.#guarded, ...this.#tunnels.values()]) void agent.destroy();
  }

  /** Whether credentials and private addresses are in order there. */
  isConfigured(url: URL): boolean {
    return this.#options.configured.some((index) => sameHost(index, url));
  }

  /** Follows redirects; any status is an answer. @throws Problem when there is none, or it may not be asked for. */
  async request(url: URL, request: UpstreamRequest): Promise<UpstreamResponse> {
    let at = url;
    for (let hop = 0; hop <= MOST_REDIRECTS; hop += 1) {
      const answer = await this.#ask(at, request);
      const { location } = answer.headers;
      if (![301, 302, 303, 307, 308].includes(answer.status) || location === undefined) return { ...answer, url: at };
      answer.body.destroy();
      at = this.#next(at, location, request.unproven);
    }
    throw new Problem(422, 'The package index redirects in circles.', { cause: new Error(`at ${at.host}`) });
  }

  #next(from: URL, location: string, unproven: boolean): URL {
    const to = URL.parse(location, from.href);
    if (!to || (to.protocol !== 'http:' && to.protocol !== 'https:')) {
      throw new Problem(422, 'The package index redirects to something that is no web address.', { lasting: true });
    }
    if (unproven && from.protocol === 'https:' && to.protocol === 'http:') {
      throw new Problem(422, 'The package index redirects from https to http, where nothing proves what comes.', {
        cause: new Error(`to ${to.host}`),
        lasting: true,
      });
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
      // undici takes a connection for free only a turn after its last body has ended, and would open another.
      await setImmediate();
      // It hears of the signal only once it is connected.
      return toAnswer(await unlessAborted(dispatcher.request(options), signal));
    } catch (cause) {
      // The server may have closed a kept connection just as it was used again.
      if (!isRetry && BROKEN_OFF.includes((cause as NodeJS.ErrnoException).code ?? '')) {
        return await this.#ask(url, asked, true);
      }
      throw explain(url, cause);
    } finally {
      clearTimeout(timer);
    }
  }

  #route(url: URL): Route {
    const isFree = this.isConfigured(url);
    const proxy = proxyFor(url, this.#options.proxy);
    // A proxy resolves names itself: then only what the URL says can be checked.
    if (!isFree && isInternalHost(url.hostname)) throw refused(url);
    if (proxy && url.protocol === 'http:') {
      const headers = { host: url.host, ...proxyAuthorization(proxy) };
      return { dispatcher: this.#free, origin: proxy.origin, path: bareAddress(url).href, headers };
    }
    const dispatcher = proxy ? this.#tunnel(proxy) : isFree ? this.#free : this.#guarded;
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
      // Never in clear to a host that was configured with TLS.
      ...(index && (url.protocol === 'https:' || index.protocol === 'http:')
        ? { authorization: basicAuthorization(index) }
        : {}),
    };
  }
}

class TimeoutError extends Error {}

function toAnswer({ statusCode, headers, body }: Dispatcher.ResponseData): Answer {
  // Errors of the body belong to its reader; one that nobody reads must not end the process.
  body.on('error', () => {});
  const single = Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value[0] : value]);
  return { status: statusCode, headers: Object.fromEntries(single), body };
}

function explain(url: URL, cause: unknown): Problem {
  if (cause instanceof Problem) return cause;
  if (cause instanceof InternalAddressError) return refused(url, cause);
  if (cause instanceof TimeoutError) return new Problem(504, 'The package index does not answer in time.', { cause });
  return new Problem(502, 'The package index cannot be reached.', { cause });
}

function refused(url: URL, cause: Error = new Error(`to ${url.host}`)): Problem {
  const message =
    'The package index points at a private or local address, which only configured indexes (GLOVEBOX_INDEX_URL) may have.';
  return new Problem(422, message, { cause, lasting: true });
}
