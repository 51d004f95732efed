import type { Duplex } from 'node:stream';
import { GloveboxError } from '../../errors.ts';
import { singleFlight } from '../../lib/single-flight.ts';
import { findAuthorities, PIP_DEFAULT_INDEX, readHostIndexes } from '../index/host-indexes.ts';
import { checkSources } from './check-sources.ts';
import type { Gateway, GatewayOptions } from './gateway.ts';
import type { GatewayClient } from './handler.ts';

export interface LazyGatewayOptions extends Omit<GatewayOptions, 'indexUrls' | 'limits'> {
  /** In order of precedence; by default what pip uses on this host, or else in a sandbox. */
  readonly indexUrls?: readonly string[] | undefined;
  /** Runs trusted code in a sandbox of its own; what it prints. */
  readonly askSandbox: (code: string) => Promise<string>;
}

/** The package gateway, made when a sandbox first asks for something. */
export class LazyGateway implements AsyncDisposable {
  readonly #options: LazyGatewayOptions;
  readonly #open: () => Promise<Gateway>;
  #gateway: Gateway | undefined;

  /** @throws GloveboxError `invalid_input` for settings that every installation would fail by. */
  constructor(options: LazyGatewayOptions) {
    const { indexUrls, askSandbox, ...others } = options;
    const sources = { ...others, caFile: findAuthorities(options.caFile) };
    checkSources({ ...sources, indexUrls: indexUrls ?? [] });
    this.#options = options;
    this.#open = singleFlight(async () => {
      // Loaded now: it brings an HTTP client, for which no start should wait.
      const { createGateway } = await import('./gateway.ts');
      this.#gateway = createGateway({ ...sources, indexUrls: indexUrls ?? (await findIndexes(askSandbox)) });
      return this.#gateway;
    });
  }

  /** Serves one connection that code of a session has made to its package index. */
  connect(tunnel: Duplex, client: GatewayClient): void {
    this.#open().then(
      (gateway) => gateway.connect(tunnel, client),
      (error: unknown) => {
        this.#options.log.error('the package gateway cannot be opened', { error });
        tunnel.destroy();
      },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#gateway?.[Symbol.asyncDispose]();
  }
}

/** What pip on this host uses; where there is no pip, what the one in the sandbox image uses. */
async function findIndexes(askSandbox: LazyGatewayOptions['askSandbox']): Promise<string[]> {
  const indexes = await readHostIndexes();
  if (indexes.length > 0) return indexes;
  const url = (await askSandbox(PIP_DEFAULT_INDEX)).trim();
  if (!URL.canParse(url)) {
    throw new GloveboxError('engine_unavailable', 'No package index is known.', {
      hint: 'Name one with GLOVEBOX_INDEX_URL.',
    });
  }
  return [url];
}
