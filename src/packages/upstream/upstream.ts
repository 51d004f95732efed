import { lookup as resolve } from 'node:dns';
import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { LookupFunction } from 'node:net';
import type { SecureContext } from 'node:tls';
import { guardLookup, InternalAddressError, isInternalHost } from './addresses.ts';
import { loadAuthorities } from './authorities.ts';
import type { GatewayLimits } from './limits.ts';
import { Problem } from './problem.ts';
import { basicAuthorization, ConnectAgent, proxyAuthorization, proxyFor } from './proxy.ts';
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
  readonly message: IncomingMessage;
}

const MOST_REDIRECTS = 5;
/** Bounds what one slow host may occupy. */
const SOCKETS = { keepAlive: true, maxSockets: 100, maxFreeSockets: 8, timeout: 120_000 };
/** Some indexes refuse clients that do not say who they are. */
const USER_AGENT = 'glovebox-package-gateway';

/**
 * Requests to the configured indexes and to where they point. A host that is not configured is reached only at a
 * public address, checked as the connection is made: what a name resolves to later does not matter.
 */
export class Upstream {
  readonly #options: UpstreamOptions;
  readonly #secureContext: SecureContext;
  readonly #http = new HttpAgent(SOCKETS);
  readonly #https: HttpsAgent;
  readonly #tunnels = new Map<string, ConnectAgent>();
  readonly #guardedLookup: LookupFunction;

  constructor(options: UpstreamOptions) {
    this.#options = options;
    this.#secureContext = loadAuthorities(options.caFile);
    this.#https = new HttpsAgent({ ...SOCKETS, secureContext: this.#secureContext });
    this.#guardedLookup = guardLookup(options.resolve ?? resolve);
    // A proxy that cannot be used is said at start, not at the first install.
    for (const url of options.configured) proxyFor(url, options.proxy);
  }

  close(): void {
    for (const agent of [this.#http, this.#https, ...this.#tunnels.values()]) agent.destroy();
  }

  /** Whether credentials and private addresses are in order there. */
  isConfigured(url: URL): boolean {
    return this.#options.configured.some((index) => sameHost(index, url));
  }

  /** Follows redirects; any status is an answer. @throws Problem when there is none, or it may not be asked for. */
  async request(url: URL, request: UpstreamRequest): Promise<UpstreamResponse> {
    let at = url;
    for (let hop = 0; hop <= MOST_REDIRECTS; hop += 1) {
      const message = await this.#ask(at, request);
      const status = message.statusCode ?? 0;
      const location = message.headers.location;
      if (![301, 302, 303, 307, 308].includes(status) || location === undefined) return { status, url: at, message };
      message.destroy();
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

  async #ask(url: URL, asked: UpstreamRequest, isRetry = false): Promise<IncomingMessage> {
    const { method = 'GET', headers, signal } = asked;
    const { limits } = this.#options;
    const options = { method, signal, headers: { ...headers, ...this.#headersFor(url) } };
    const { promise, resolve: answer, reject } = Promise.withResolvers<IncomingMessage>();
    const request = this.#open(url, options);
    const timer = setTimeout(() => request.destroy(new TimeoutError('no answer in time')), limits.responseMs);
    request.once('response', answer);
    request.once('error', reject);
    request.end();
    try {
      const message = await promise;
      // Errors of the body belong to its reader; one that nobody reads must not end the process.
      message.on('error', () => {});
      return message;
    } catch (cause) {
      // The server closed a kept connection just as it was used again.
      if (request.reusedSocket && !isRetry && (cause as NodeJS.ErrnoException).code === 'ECONNRESET') {
        return await this.#ask(url, asked, true);
      }
      throw explain(url, cause);
    } finally {
      clearTimeout(timer);
    }
  }

  #open(url: URL, options: { method: string; signal: AbortSignal; headers: Record<string, string> }): ClientRequest {
    const isFree = this.isConfigured(url);
    const proxy = proxyFor(url, this.#options.proxy);
    // A proxy resolves names itself: then only what the URL says can be checked.
    if (!isFree && isInternalHost(url.hostname)) throw refused(url);
    if (proxy && url.protocol === 'https:')
      return httpsRequest(bareAddress(url), { ...options, agent: this.#tunnel(proxy) });
    if (proxy) {
      const headers = { ...options.headers, host: url.host, ...proxyAuthorization(proxy) };
      return httpRequest(bareAddress(proxy), { ...options, path: bareAddress(url).href, headers, agent: this.#http });
    }
    const direct = isFree ? options : { ...options, lookup: this.#guardedLookup };
    return url.protocol === 'https:'
      ? httpsRequest(bareAddress(url), { ...direct, agent: this.#https })
      : httpRequest(bareAddress(url), { ...direct, agent: this.#http });
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

  #tunnel(proxy: URL): ConnectAgent {
    const known = this.#tunnels.get(proxy.href);
    if (known) return known;
    const agent = new ConnectAgent(proxy, this.#secureContext, this.#options.limits.responseMs);
    this.#tunnels.set(proxy.href, agent);
    return agent;
  }
}

class TimeoutError extends Error {}

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
