import type { Duplex } from 'node:stream';
import type { Config } from '../../config/load.ts';
import { findAuthorities, PIP_DEFAULT_INDEX, readHostIndexes } from '../../engines/docker/images/index-access.ts';
import { GloveboxError } from '../../errors.ts';
import type { Glovebox } from '../../glovebox.ts';
import { singleFlight } from '../../lib/single-flight.ts';
import type { Log } from '../../log.ts';
import type { Session } from '../../sessions/sessions.ts';
import { checkGateway, createGateway, type Gateway } from './gateway.ts';

/** The package gateway, made when a sandbox first asks for something. */
export class LazyGateway implements AsyncDisposable {
  readonly #log: Log;
  readonly #open: () => Promise<Gateway>;
  #gateway: Gateway | undefined;

  /** @throws GloveboxError `invalid_input` for settings that every installation would fail by. */
  constructor(config: Config, log: Log, glovebox: () => Glovebox) {
    const { hostEnvironment, packagesAllow, packagesDeny, packagesSdists, cacheDir, cacheMb } = config;
    const sources = {
      allow: packagesAllow,
      deny: packagesDeny,
      sdists: packagesSdists,
      caFile: findAuthorities(hostEnvironment.caFile),
      proxy: hostEnvironment.proxy,
    };
    checkGateway({ ...sources, indexUrls: config.indexUrl ?? [] });
    this.#log = log;
    this.#open = singleFlight(async () => {
      this.#gateway = createGateway({
        indexUrls: config.indexUrl ?? (await findIndexes(glovebox())),
        ...sources,
        cacheDir,
        cacheLimitBytes: cacheMb * 2 ** 20,
        log,
      });
      return this.#gateway;
    });
  }

  /** Serves one connection that code of a session has made to its package index. */
  connect(tunnel: Duplex, session: Pick<Session, 'owner' | 'id' | 'downloads'>): void {
    const { onDownload, onProblem, onNotice } = session.downloads;
    this.#open().then(
      (gateway) =>
        gateway.connect(tunnel, { owner: session.owner, session: session.id, onDownload, onProblem, onNotice }),
      (error: unknown) => {
        this.#log.error('the package gateway cannot be opened', { error });
        tunnel.destroy();
      },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#gateway?.[Symbol.asyncDispose]();
  }
}

/** What pip on this host uses; where there is no pip, what the one in the sandbox image uses. */
async function findIndexes(glovebox: Glovebox): Promise<string[]> {
  const indexes = await readHostIndexes();
  if (indexes.length > 0) return indexes;
  const { pool } = await glovebox.prepare();
  const url = (await pool.ask(PIP_DEFAULT_INDEX)).trim();
  if (!URL.canParse(url)) {
    throw new GloveboxError('engine_unavailable', 'No package index is known.', {
      hint: 'Name one with GLOVEBOX_INDEX_URL.',
    });
  }
  return [url];
}
