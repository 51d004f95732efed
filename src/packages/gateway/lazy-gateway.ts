import type { Duplex } from 'node:stream';
import { GloveboxError } from '../../errors.ts';
import { singleFlight } from '../../lib/single-flight.ts';
import { findAuthorities } from '../../outbound/authorities.ts';
import { checkShared, openShared, type SharedCache } from '../cache/open-shared.ts';
import { PIP_DEFAULT_INDEX, readHostIndexes } from '../index/host-indexes.ts';
import { checkSources } from './check-sources.ts';
import type { Gateway, GatewayOptions, GatewayStats } from './gateway.ts';
import type { GatewayClient } from './handler.ts';

export interface LazyGatewayOptions extends Omit<GatewayOptions, 'indexUrls' | 'limits' | 'shared'> {
  /** Bucket of a cache that several servers share. */
  readonly shared?: SharedCache | undefined;
  /** Indexes in order of precedence. Default: those that pip uses on this host, or else in a sandbox. */
  readonly indexUrls?: readonly string[] | undefined;
  /** Runs trusted Python code in a new sandbox, and returns its output. */
  readonly askSandbox: (code: string) => Promise<string>;
}

/** The package gateway, made at the first request of a sandbox. */
export class LazyGateway implements AsyncDisposable {
  readonly #options: LazyGatewayOptions;
  readonly #open: () => Promise<Gateway>;
  #gateway: Gateway | undefined;

  /** @throws GloveboxError `invalid_input` for settings with which every installation would fail */
  constructor(options: LazyGatewayOptions) {
    const { indexUrls, askSandbox, shared, ...others } = options;
    const sources = { ...others, caFile: findAuthorities(options.caFile) };
    checkSources({ ...sources, indexUrls: indexUrls ?? [] });
    if (shared) checkShared(shared);
    this.#options = options;
    this.#open = singleFlight(async () => {
      // Loaded only now: its HTTP client would delay every start.
      const { createGateway } = await import('./gateway.ts');
      const urls = indexUrls ?? (await findIndexes(askSandbox));
      const store = shared && (await openShared(shared, others.log));
      this.#gateway = createGateway({ ...sources, indexUrls: urls, shared: store });
      return this.#gateway;
    });
  }

  /** Serves one connection from the code of a session to the package index. */
  connect(tunnel: Duplex, client: GatewayClient): void {
    this.#open().then(
      (gateway) => gateway.connect(tunnel, client),
      (error: unknown) => {
        this.#options.log.error('the package gateway cannot be opened', { error });
        tunnel.destroy();
      },
    );
  }

  /** What it has done. Undefined until the first request. */
  get stats(): GatewayStats | undefined {
    return this.#gateway?.stats();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#gateway?.[Symbol.asyncDispose]();
  }
}

/** Lists the indexes that pip uses on this host, or else the one that pip uses in the sandbox image. */
async function findIndexes(askSandbox: LazyGatewayOptions['askSandbox']): Promise<string[]> {
  const indexes = await readHostIndexes();
  if (indexes.length > 0) return indexes;
  const url = (await askSandbox(PIP_DEFAULT_INDEX)).trim();
  if (!URL.canParse(url)) {
    throw new GloveboxError('engine_unavailable', 'No package index is known.', {
      hint: 'Set one with GLOVEBOX_INDEX_URL.',
    });
  }
  return [url];
}
