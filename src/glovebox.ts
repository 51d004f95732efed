import { cpus } from 'node:os';
import { Approvals } from './approvals/approvals.ts';
import { openArchiveFiles } from './archives/open.ts';
import { ArchiveSettings } from './archives/settings.ts';
import type { WebAccess } from './egress/web-access.ts';
import { assertReachable, describeGroup, joinGroup } from './engines/group.ts';
import { openEngine } from './engines/index.ts';
import { GloveboxError, serverStopping } from './errors.ts';
import type { GloveboxFigures, GloveboxHealth } from './glovebox-figures.ts';
import { type LoadedParts, loadParts, Services } from './glovebox-services.ts';
import type { GloveboxSettings, OnShutdown, OpenOptions } from './glovebox-settings.ts';
import { within } from './lib/deadline.ts';
import type { Finding } from './lib/finding.ts';
import { singleFlight, type Waiting } from './lib/single-flight.ts';
import { parseRequirement } from './packages/pep/requirement.ts';
import { tellHeld } from './probe/held.ts';
import { requireSealed } from './probe/require-sealed.ts';
import { WatchedEngine } from './probe/watched-engine.ts';
import type { Shortfall } from './sandbox/assurances.ts';
import { limitsOf } from './sandbox/disk-sizes.ts';
import type { OpenedEngine } from './sandbox/engine.ts';
import { openPool } from './sandbox/open-pool.ts';
import { openPreloads } from './sandbox/open-preloads.ts';
import type { Pool } from './sandbox/pool.ts';
import type { PreloadFigures, Preloads } from './sandbox/preloads.ts';
import type { Backend } from './sandbox/start-sandbox.ts';
import { traceEngine } from './sandbox/traced-engine.ts';
import type { UsageFile } from './sandbox/usage-file.ts';
import { ExecutionMetrics } from './scheduling/execution-metrics.ts';
import { ExecutionScheduler } from './scheduling/execution-scheduler.ts';
import { MemoryQuota } from './scheduling/memory-quota.ts';
import { BackgroundRecords } from './sessions/background-records.ts';
import { removeRest } from './sessions/lifecycle/remove-rest.ts';
import { recover } from './sessions/recovery.ts';
import { Sessions } from './sessions/sessions.ts';
import { Snapshots } from './sessions/snapshots.ts';
import { DirectoryState } from './state/directory.ts';
import { Instance } from './state/instance.ts';
import type { SharedState } from './state/state.ts';
import { version } from './version.ts';

export { limitsOf } from './sandbox/disk-sizes.ts';
export { checkStateDir, ephemeralName, lookAtState } from './state/instance.ts';
export { parseRequirement };

const PROCESSORS = Math.max(1, cpus().length);

const NOTHING_PRELOADED: PreloadFigures = { bytes: 0, limit: 0, sandboxes: 0, failures: 0 };

/** Longest wait for the end of a running set-up, in milliseconds. Only after it, all recovered sandboxes are known. */
const SETUP_END_MS = 2000;

/** An engine with its sessions, snapshots and packages. REST, MCP and the commands are built on it. */
export class Glovebox implements AsyncDisposable {
  readonly sessions: Sessions;
  readonly snapshots: Snapshots;
  /** Questions to people, whether code may call a tool. */
  readonly approvals: Approvals;
  /** Metrics since the start. */
  readonly metrics = new ExecutionMetrics();
  /** Sets up the engine, once, and recovers what earlier runs left there. */
  readonly prepare: (waiting?: Waiting) => Promise<{ backend: Backend; pool: Pool }>;
  readonly #settings: GloveboxSettings;
  readonly #options: OpenOptions;
  readonly #instance: Instance;
  readonly #directory: DirectoryState;
  readonly #archives: ArchiveSettings;
  readonly #scheduler: ExecutionScheduler;
  readonly #memory: MemoryQuota;
  readonly #services: Services;
  readonly #closing = new AbortController();
  #hasEngine = false;
  #closeEngine: OpenedEngine['close'];
  /** What it shares with other control planes of its group, once it has joined that; before, and else, the directory. */
  #state: SharedState;
  #settingUp: Promise<unknown> | undefined;
  #pool: Pool | undefined;
  /** Removal of what earlier runs left over. */
  #cleanUp: Promise<void> | undefined;
  #removeRest: ((mode: OnShutdown) => Promise<void>) | undefined;
  #preloads: Preloads | undefined;
  #usageFile: UsageFile | undefined;
  #closed: Promise<void> | undefined;
  #missing: readonly Shortfall[] = [];

  private constructor(settings: GloveboxSettings, options: OpenOptions, instance: Instance, loaded: LoadedParts) {
    const { log, patienceMs } = options;
    this.#settings = settings;
    this.#options = options;
    this.#instance = instance;
    this.approvals = new Approvals({ log });
    this.#directory = new DirectoryState(instance, version);
    const files = openArchiveFiles(settings, instance, log, loaded.openS3);
    this.#archives = new ArchiveSettings(files, settings, log, this.metrics.registry);
    this.#memory = new MemoryQuota(settings);
    this.#scheduler = new ExecutionScheduler({
      places: settings.maxExecutions,
      placesPerOwner: settings.maxExecutionsPerOwner,
      freshPerOwner: settings.maxFreshExecutionsPerOwner,
      waitingPerOwner: settings.maxWaitingPerOwner,
    });
    this.#state = this.#directory;
    this.prepare = singleFlight((report) => {
      const ready = this.#setUp(report);
      this.#settingUp = ready;
      return ready;
    }, patienceMs);
    const services = new Services({
      ...{ settings, options, loaded, approvals: this.approvals, registry: this.metrics.registry },
      askSandbox: async (code) => (await this.prepare()).pool.ask(code),
    });
    this.#services = services;
    this.sessions = new Sessions({
      tools: services.tools.access,
      web: services.egress.access,
      // Refuse contradictory sizes now, rather than at every start of a sandbox.
      limits: limitsOf(settings),
      parseRequirement,
      state: () => this.#state,
      archives: this.#archives,
      scheduler: this.#scheduler,
      metrics: this.metrics,
      memory: this.#memory,
      log,
      recordsOf: ({ owner, id }) => new BackgroundRecords(instance.directory, owner, id),
      prepare: async (waiting) => (await this.prepare(waiting)).pool,
      onTunnel: services.connect,
      onSandbox: (session) => this.approvals.forget(session),
    });
    this.snapshots = new Snapshots(this.sessions, this.#archives.store);
  }

  /**
   * Gets an engine ready, unless it is to wait for the first call, and takes over the sessions that the last run kept.
   * @throws GloveboxError `invalid_input` for settings that do not go together or an instance that runs already,
   * `engine_unavailable`
   */
  static async open(settings: GloveboxSettings, options: OpenOptions): Promise<Glovebox> {
    assertReachable(settings, options);
    const instance = Instance.acquire(settings.stateDir, options.instance);
    let glovebox: Glovebox | undefined;
    try {
      glovebox = new Glovebox(settings, options, instance, await loadParts(settings));
      const { lazy, onProgress, signal } = options;
      if (!lazy) await glovebox.prepare({ ...(onProgress ? { onProgress } : {}), ...(signal ? { signal } : {}) });
      return glovebox;
    } catch (error) {
      if (glovebox) await glovebox.close();
      else instance[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Asks the engine how it is; `deep` runs code in a sandbox of its own.
   * @throws GloveboxError when code cannot run here
   */
  async health(deep: boolean): Promise<GloveboxHealth> {
    const { backend, pool } = await this.prepare();
    const engine = await backend.engine.info();
    if (deep && (await pool.ask('print(6 * 7)')) !== '42\n') {
      throw new GloveboxError('sandbox_lost', 'A new sandbox does not compute.');
    }
    const more = { ...(this.#isAlone ? {} : describeGroup(this.#state)), ...this.#archives.health };
    return { engine, image: backend.profile.image, ...this.#counts, pool: pool.status, ...more };
  }

  /** Runs code in a sandbox, and tells how each of its protections is known. @throws GloveboxError when it cannot run */
  async examine(): Promise<readonly Finding[]> {
    await this.health(true);
    const { assurances, profile } = (await this.prepare()).backend;
    const { sharesKernel = true } = assurances?.expect(profile) ?? {};
    return [
      ['ok', 'sandbox', `${profile.image} runs code`],
      ...tellHeld(this.#missing, sharesKernel, assurances?.advice),
    ];
  }

  /** Current figures for `GET /metrics`. Does not ask the engine. */
  get figures(): GloveboxFigures {
    const pool = this.#pool?.status ?? { size: this.#settings.poolSize, ready: 0 };
    const packages = this.#services.packages.stats;
    const { figures: archives } = this.#archives;
    return { ...this.#counts, ...this.sessions.counts, pool, claimedMb: this.#memory.claimedMb, archives, packages };
  }

  /** Name of this control plane among those of the state directory. */
  get instance(): string {
    return this.#instance.name;
  }

  /** Servers whose tools code may call. Undefined if there are none. */
  get toolServers(): Services['tools']['broker'] {
    return this.#services.tools.broker;
  }

  /** Who may reach what on the web. */
  get web(): WebAccess {
    return this.#services.egress.access;
  }

  /** What sandboxes of this engine lack, as allowed. Known once the engine is set up. */
  get missing(): readonly Shortfall[] {
    return this.#missing;
  }

  get #counts(): Pick<GloveboxHealth, 'sessions' | 'adopting' | 'preload' | 'executions' | 'missing'> {
    const { counts, adoptions } = this.sessions;
    const preload = this.#preloads?.figures ?? NOTHING_PRELOADED;
    const missing = this.#missing.map(({ name }) => name);
    const { sessions } = counts;
    const figures = { sessions, adopting: adoptions.left, preload, executions: this.#scheduler.figures };
    return missing.length > 0 ? { ...figures, missing } : figures;
  }

  /** Decides what to do with the sessions. Call it as soon as the shutdown begins, while other services still run. */
  readonly decideShutdown: () => Promise<OnShutdown> = singleFlight(async () => {
    const { onShutdown } = this.#settings;
    const { mayKeep, log } = this.#options;
    // Others go on with them.
    if (!this.#isAlone) return 'keep';
    if (onShutdown === 'remove' || mayKeep === undefined || !this.#hasEngine) return onShutdown;
    try {
      return (await mayKeep()) ? 'keep' : 'remove';
    } catch (error) {
      log.warn('sessions are kept, for the engine does not say whether to', { error });
      return 'keep';
    }
  });

  /** Removes all that this run made; sessions only if they are not to be kept for the next. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    try {
      const mode = await this.decideShutdown();
      this.#closing.abort(serverStopping());
      await within(SETUP_END_MS, Promise.allSettled([this.#settingUp]));
      // Side by side: the engine takes its time over many sessions, and a shutdown has a limit.
      await Promise.all([this.sessions.shutdown(mode, this.#options.onEnded), this.#pool?.close()]);
      await this.#cleanUp;
      await this.#removeRest?.(mode);
      this.#usageFile?.save();
      await this.#services[Symbol.asyncDispose]();
      await this.#archives.close();
    } finally {
      await this.#state[Symbol.asyncDispose]();
      this.#closeEngine?.();
      if (!this.#isAlone) await this.#directory[Symbol.asyncDispose]();
    }
  }

  async #setUp(report: (message: string) => void): Promise<{ backend: Backend; pool: Pool }> {
    const settings = this.#settings;
    const { mayInstall, log, openEngine: open = openEngine } = this.#options;
    const { signal } = this.#closing;
    const opened = await open(settings, { mayInstall, log, report, signal });
    this.#hasEngine = true;
    this.#closeEngine = opened.close;
    await this.#joinGroup(opened);
    const isBusy = () => this.#scheduler.figures.running >= PROCESSORS;
    const used = openPreloads(this.#instance.directory, opened.profile.image, settings, { log, isBusy });
    const { preloads } = used ?? {};
    [this.#preloads, this.#usageFile] = [preloads, used?.file];
    const plain = {
      ...opened,
      label: () => this.#state.label,
      owns: (instance: string) => this.#state.isValid && this.#state.label === instance,
      configuration: { preload: settings.preload, tools: true, web: this.web.isOn },
      log,
      preloads,
    };
    const engine = new WatchedEngine(traceEngine(opened.engine), {
      look: () => this.#look(plain),
      watch: async (onChange) => (await opened.assurances?.watch(onChange, signal)) ?? true,
    });
    // Before the sessions of the last run are touched: a refusal leaves them to a next run.
    await engine.settleDoubt();
    const backend = { ...plain, engine };
    await this.#recover(backend);
    signal.throwIfAborted();
    const { adoptions } = this.sessions;
    if (this.#options.adoptFirst) await adoptions.undisturbed;
    this.#pool = openPool(backend, settings, {
      processors: PROCESSORS,
      load: () => ({ begun: this.#scheduler.begun, running: this.#scheduler.figures.running }),
      memory: this.#memory,
      metrics: this.metrics.starts,
      ...(adoptions.left > 0 ? { notBefore: adoptions.settled } : {}),
      ...{ log, preloads },
    });
    return { backend, pool: this.#pool };
  }

  /** What all control planes know of calls. */
  get calls(): Pick<SharedState, 'beginCall' | 'forgetCall'> {
    return this.#state;
  }

  /** Whether no other control plane may have the same sessions. */
  get #isAlone(): boolean {
    return this.#state === this.#directory;
  }

  /** Joins the group, if there may be others, unless an earlier attempt has. @throws GloveboxError `engine_unavailable` */
  async #joinGroup(opened: OpenedEngine): Promise<void> {
    const joined = this.#isAlone && (await joinGroup(opened, this.#settings, this.#options));
    if (!joined) return;
    this.#state = joined;
    this.sessions.follow(joined, opened.engine, () => this.#pool);
  }

  /** @throws GloveboxError `engine_unavailable` when a sandbox lacks what may not be missing */
  async #look(backend: Backend): Promise<void> {
    const { allowMissing: allowed, stateDir } = this.#settings;
    const { mustLook = false } = this.#options;
    this.#missing = await requireSealed(backend, { allowed, stateDir, mustLook, signal: this.#closing.signal });
  }

  async #recover(backend: Backend): Promise<void> {
    const { sessions } = this;
    const { log, adoptAfter, onEnded } = this.#options;
    // Else sessions are taken over by the calls for them.
    if (!this.#isAlone) return BackgroundRecords.sweep(this.#instance.directory, []);
    const removeLeftOver = await recover({
      backend,
      instance: this.#instance,
      state: this.#directory,
      archived: await this.#archives.store.records({ kind: 'session' }),
      idleTtlS: this.#settings.idleTtlS,
      adopt: sessions.adopt.bind(sessions),
      log,
    });
    await sessions.adoptArchives();
    this.#cleanUp = sessions.adoptions.settled
      .then(removeLeftOver)
      .catch((error: unknown) => log.warn('what an earlier run left could not be removed', { error }));
    const rest = { engine: backend.engine, state: this.#directory, log, onLeft: () => onEnded?.(0) };
    this.#removeRest = (mode) => removeRest({ ...rest, keepsSessions: mode === 'keep' });
    if (adoptAfter !== undefined) void adoptAfter.then(() => sessions.adoptions.begin());
    else sessions.adoptions.begin();
  }
}
