import { GloveboxError } from '../errors.ts';
import type { Log } from '../log.ts';
import { Archives, type ArchivesLimits } from './archives.ts';
import type { EngineInfo } from './engine.ts';
import type { Backend } from './factory.ts';
import type { Instance } from './instance.ts';
import { Manifests } from './manifests.ts';
import { once, type Waiting } from './once.ts';
import { Pool } from './pool.ts';
import { recover } from './recovery.ts';
import { type SessionLimits, Sessions, type SessionsOptions } from './sessions.ts';

export interface CoreOptions {
  readonly instance: Instance;
  /** Finds or makes what sandboxes need; called once, when the first of them is wanted. */
  readonly setUp: (report: (message: string) => void) => Promise<Backend>;
  /** How long a call waits for the set-up; without end if left out. */
  readonly patienceMs?: number;
  readonly limits: SessionLimits & ArchivesLimits;
  readonly poolSize: number;
  readonly onShutdown: 'remove' | 'keep';
  readonly onTunnel?: SessionsOptions['onTunnel'];
  readonly log: Log;
}

/** What `GET /health` says of the core. */
export interface CoreHealth {
  readonly engine: EngineInfo;
  readonly image: string;
  readonly sessions: number;
  readonly pool: { readonly size: number; readonly ready: number };
}

/** Sessions over an engine: what both protocols stand on. */
export class Core implements AsyncDisposable {
  readonly sessions: Sessions;
  /** Gets the engine, the image and the pool ready, and brings earlier sessions back. */
  readonly prepare: (waiting?: Waiting) => Promise<{ backend: Backend; pool: Pool }>;
  readonly #options: CoreOptions;
  #pool: Pool | undefined;

  constructor(options: CoreOptions) {
    const { instance, limits, log, patienceMs } = options;
    this.#options = options;
    const manifests = new Manifests(instance.directory);
    this.prepare = once(async (report) => {
      const backend = await options.setUp(report);
      const adopt = this.sessions.adopt.bind(this.sessions);
      await recover({ engine: backend.engine, instance, manifests, idleTtlS: limits.idleTtlS, adopt, log });
      await this.sessions.adoptArchives();
      this.#pool = new Pool(backend, options.poolSize, log);
      return { backend, pool: this.#pool };
    }, patienceMs);
    this.sessions = new Sessions({
      limits,
      manifests,
      archives: new Archives(instance.directory, limits, log),
      log,
      prepare: async (waiting) => (await this.prepare(waiting)).pool,
      ...(options.onTunnel ? { onTunnel: options.onTunnel } : {}),
    });
  }

  /**
   * Asks the engine how it is; `deep` runs code in a sandbox of its own.
   * @throws GloveboxError when code cannot run here.
   */
  async checkHealth(deep: boolean): Promise<CoreHealth> {
    const { backend, pool } = await this.prepare();
    const engine = await backend.engine.info();
    if (deep && (await pool.ask('print(6 * 7)')) !== '42\n') {
      throw new GloveboxError('sandbox_lost', 'A new sandbox does not compute.');
    }
    return { engine, image: backend.profile.image, sessions: this.sessions.count, pool: pool.status };
  }

  /** Removes all that this run made; sessions only if they are not to be kept for the next. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.sessions.shutdown(this.#options.onShutdown);
    await this.#pool?.close();
  }
}
