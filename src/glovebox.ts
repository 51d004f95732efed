import { type ArchiveBounds, ArchiveSettings } from './archives/settings.ts';
import { GloveboxError } from './errors.ts';
import { singleFlight, type Waiting } from './lib/single-flight.ts';
import type { Log } from './log.ts';
import type { Engine, EngineInfo } from './sandbox/engine.ts';
import { Pool } from './sandbox/pool.ts';
import type { PoolSizeLimits } from './sandbox/pool-size.ts';
import type { Backend } from './sandbox/start-sandbox.ts';
import { ExecutionMetrics } from './scheduling/execution-metrics.ts';
import { type ExecutionFigures, ExecutionScheduler } from './scheduling/execution-scheduler.ts';
import type { FairLimits } from './scheduling/fair-queue.ts';
import { type MemoryLimits, MemoryQuota } from './scheduling/memory-quota.ts';
import { BackgroundRecords } from './sessions/background-records.ts';
import type { Instance } from './sessions/instance.ts';
import { type Manifest, Manifests } from './sessions/manifests.ts';
import { recover } from './sessions/recovery.ts';
import { type SessionLimits, Sessions, type SessionsOptions } from './sessions/sessions.ts';

type OnShutdown = 'remove' | 'keep';

export interface GloveboxOptions {
  readonly instance: Instance;
  /** Finds or makes what sandboxes need; called once, when the first of them is wanted. */
  readonly setUp: (report: (message: string) => void) => Promise<Backend>;
  /** How long a call waits for the set-up; without end if left out. */
  readonly patienceMs?: number;
  readonly limits: SessionLimits & MemoryLimits & ArchiveBounds;
  /** Of executions at once. */
  readonly executions: FairLimits;
  readonly poolSize: PoolSizeLimits;
  /** Sandboxes that may be started at once. */
  readonly startsAtOnce: number;
  readonly onShutdown: OnShutdown;
  /** A container without which sessions are not kept: it runs as long as there will be a next run to keep them for. */
  readonly keepWhile?: string;
  /** Hears while sessions are being ended, after each, how many are left. */
  readonly onEnded?: (left: number) => void;
  readonly onTunnel?: SessionsOptions['onTunnel'];
  readonly log: Log;
}

/** What `GET /health` says of the core. */
export interface GloveboxHealth {
  readonly engine: EngineInfo;
  readonly image: string;
  readonly sessions: number;
  readonly pool: { readonly size: number; readonly ready: number };
  readonly executions: ExecutionFigures;
}

/** What the server has to do just now. */
export interface GloveboxFigures extends Pick<GloveboxHealth, 'sessions' | 'pool' | 'executions'> {
  /** The sum of what sandboxes may take. */
  readonly claimedMb: number;
}

/** Sessions over an engine: what both protocols stand on. */
export class Glovebox implements AsyncDisposable {
  readonly sessions: Sessions;
  readonly #scheduler: ExecutionScheduler;
  /** What has been done since the start. */
  readonly metrics = new ExecutionMetrics();
  /** Gets the engine, the image and the pool ready, and brings earlier sessions back. */
  readonly prepare: (waiting?: Waiting) => Promise<{ backend: Backend; pool: Pool }>;
  readonly #options: GloveboxOptions;
  readonly #memory: MemoryQuota;
  #pool: Pool | undefined;
  #engine: Engine | undefined;

  constructor(options: GloveboxOptions) {
    const { instance, limits, log, patienceMs } = options;
    this.#options = options;
    this.#scheduler = new ExecutionScheduler(options.executions);
    this.#memory = new MemoryQuota(limits);
    const manifests = new Manifests(instance.directory);
    const archives = new ArchiveSettings(instance.directory, limits, log);
    this.prepare = singleFlight(async (report) => {
      const backend = await options.setUp(report);
      this.#engine = backend.engine;
      const adopt = this.sessions.adopt.bind(this.sessions);
      const isAdopted = ({ owner, session_id: id }: Manifest) => this.sessions.has(owner, id);
      const archived = archives.store.records.filter(({ kind }) => kind === 'session');
      await recover({ backend, instance, manifests, archived, idleTtlS: limits.idleTtlS, adopt, isAdopted, log });
      await this.sessions.adoptArchives();
      const { poolSize: size, startsAtOnce } = options;
      this.#pool = new Pool(backend, { size, startsAtOnce, memory: this.#memory, log });
      return { backend, pool: this.#pool };
    }, patienceMs);
    this.sessions = new Sessions({
      limits,
      manifests,
      archives,
      scheduler: this.#scheduler,
      metrics: this.metrics,
      memory: this.#memory,
      log,
      recordsOf: ({ owner, id }) => new BackgroundRecords(instance.directory, owner, id),
      prepare: async (waiting) => (await this.prepare(waiting)).pool,
      ...(options.onTunnel ? { onTunnel: options.onTunnel } : {}),
    });
  }

  /**
   * Asks the engine how it is; `deep` runs code in a sandbox of its own.
   * @throws GloveboxError when code cannot run here.
   */
  async checkHealth(deep: boolean): Promise<GloveboxHealth> {
    const { backend, pool } = await this.prepare();
    const engine = await backend.engine.info();
    if (deep && (await pool.ask('print(6 * 7)')) !== '42\n') {
      throw new GloveboxError('sandbox_lost', 'A new sandbox does not compute.');
    }
    const { image } = backend.profile;
    return { engine, image, sessions: this.sessions.count, pool: pool.status, executions: this.#scheduler.figures };
  }

  /** What `GET /metrics` says; asks the engine nothing. */
  get figures(): GloveboxFigures {
    const pool = this.#pool?.status ?? { size: this.#options.poolSize.least, ready: 0 };
    return {
      sessions: this.sessions.count,
      pool,
      executions: this.#scheduler.figures,
      claimedMb: this.#memory.claimedMb,
    };
  }

  /** What becomes of the sessions; to be asked as soon as the end is called for, while the others of ours still run. */
  readonly decideShutdown: () => Promise<OnShutdown> = singleFlight(async () => {
    const { onShutdown, keepWhile, log } = this.#options;
    if (onShutdown === 'remove' || keepWhile === undefined || this.#engine === undefined) return onShutdown;
    try {
      return (await this.#engine.isRunning(keepWhile)) ? 'keep' : 'remove';
    } catch (error) {
      log.warn('sessions are kept, for the engine does not say whether to', { error });
      return 'keep';
    }
  });

  /** Removes all that this run made; sessions only if they are not to be kept for the next. */
  async [Symbol.asyncDispose](): Promise<void> {
    const mode = await this.decideShutdown();
    // Side by side: the engine takes its time over many sessions, and a shutdown has a limit.
    await Promise.all([this.sessions.shutdown(mode, this.#options.onEnded), this.#pool?.close()]);
  }
}
