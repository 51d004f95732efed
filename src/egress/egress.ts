import type { LookupFunction } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Registry } from 'prom-client';
import { GloveboxError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { WebBounds } from './bounds.ts';
import { WebGrants } from './grants.ts';
import type { Injector } from './injector.ts';
import type { openProxy } from './open-proxy.ts';
import { type WebOfOwner, WebPolicy } from './policy/policy.ts';
import { PrivateNetworks } from './policy/private-networks.ts';
import type { WebProxy } from './proxy/web-proxy.ts';
import type { WebAccess } from './web-access.ts';
import { WebMetrics } from './web-metrics.ts';

export interface EgressOptions {
  /** Patterns of what code may reach. Empty: nothing. */
  readonly patterns: readonly string[];
  /** Addresses and networks that are not public, and that named hosts may have all the same. */
  readonly privateNetworks: readonly string[];
  readonly bounds: WebBounds;
  /** How this machine reaches hosts. */
  readonly hosts: { readonly caFile?: string | undefined; readonly proxy: Readonly<Record<string, string>> };
  /** How the keys of an owner narrow what its code may reach. Default: not at all. */
  readonly webOfOwner?: WebOfOwner | undefined;
  /** Secrets that are added to requests. Default: none. */
  readonly injector?: Injector | undefined;
  readonly registry: Registry;
  readonly log: Log;
  /** Resolver of names. Default: that of this machine. */
  readonly resolve?: LookupFunction | undefined;
  /** Opens the proxy. May be undefined, as it is not loaded, only if there are no patterns. */
  readonly openProxy: typeof openProxy | undefined;
}

/** The way of code to the web: who may reach what, and the proxy that takes it there. */
export class Egress implements Disposable {
  readonly access: WebAccess;
  readonly #proxy: WebProxy | undefined;

  /** @throws GloveboxError `invalid_input` that says what is wrong with a setting; Error without a proxy that is needed */
  constructor(options: EgressOptions) {
    const { bounds, registry, log, injector } = options;
    const policy = readPolicy(options);
    const networks = new PrivateNetworks(options.privateNetworks);
    const grants = new WebGrants({ policy, bounds, injector, metrics: new WebMetrics(registry), log });
    this.access = grants;
    if (!policy.isOn) return;
    // Grants would be given, and every connection closed without a word.
    if (!options.openProxy) throw new Error('There are hosts that code may reach, but no proxy is loaded.');
    this.#proxy = options.openProxy({ ...options, injector, grants, networks });
  }

  /** Serves a connection that code of a session has made. */
  connect(stream: Duplex, session: { readonly owner: string; readonly id: string }): void {
    if (this.#proxy) this.#proxy.connect(stream, session);
    else stream.destroy();
  }

  [Symbol.dispose](): void {
    this.#proxy?.[Symbol.dispose]();
  }
}

function readPolicy({ patterns, webOfOwner }: EgressOptions): WebPolicy {
  try {
    return new WebPolicy(patterns, webOfOwner);
  } catch (error) {
    if (!(error instanceof GloveboxError)) throw error;
    throw new GloveboxError('invalid_input', `GLOVEBOX_EGRESS: ${error.message}`, { hint: error.hint });
  }
}
