import type { SecureContext } from 'node:tls';
import { Agent, type Dispatcher, fetch, type ProxyAgent, type RequestInit, type Response } from 'undici';
import { findAuthorities, loadAuthorities } from './authorities.ts';
import { proxyFor } from './proxy.ts';
import { openTunnels } from './proxy-agent.ts';

/** How hosts are reached, by the variables of this host. */
export interface HostAccess {
  readonly caFile?: string | undefined;
  readonly proxy: Readonly<Record<string, string>>;
}

/** Time in milliseconds to connect to a host. */
const CONNECT_MS = 10_000;
/** No limits of time: a call has one of its own, and a stream may be silent. */
const POOL = { headersTimeout: 0, bodyTimeout: 0 };

/** Connections to hosts, directly and through proxies. */
export class Dispatchers {
  readonly #access: HostAccess;
  readonly #secureContext: SecureContext;
  readonly #direct: Agent;
  /** By the address of their proxy. */
  readonly #tunnels = new Map<string, ProxyAgent>();

  constructor(access: HostAccess) {
    this.#access = access;
    this.#secureContext = loadAuthorities(findAuthorities(access.caFile));
    this.#direct = new Agent({ ...POOL, connect: { secureContext: this.#secureContext, timeout: CONNECT_MS } });
  }

  async send(url: URL, init: RequestInit): Promise<Response> {
    return await fetch(url, { ...init, dispatcher: this.#for(url) });
  }

  async close(): Promise<void> {
    await Promise.all([this.#direct, ...this.#tunnels.values()].map((agent) => agent.destroy()));
  }

  #for(url: URL): Dispatcher {
    const proxy = proxyFor(url, this.#access.proxy);
    if (!proxy) return this.#direct;
    const options = { secureContext: this.#secureContext, pool: POOL, timeoutMs: CONNECT_MS };
    const agent = this.#tunnels.get(proxy.href) ?? openTunnels(proxy, options);
    this.#tunnels.set(proxy.href, agent);
    return agent;
  }
}
