import type { ArchiveRecord } from '../archives/record.ts';
import type { ArchiveSettings } from '../archives/settings.ts';
import type { WebAccess } from '../egress/web-access.ts';
import type { ToolAccess } from '../execution/tool-access.ts';
import { Disposables } from '../lib/disposables.ts';
import type { Waiting } from '../lib/single-flight.ts';
import type { Log } from '../log.ts';
import type { Engine } from '../sandbox/engine.ts';
import type { SandboxSource } from '../sandbox/pool.ts';
import type { SandboxHandle } from '../sandbox/sandbox.ts';
import type { ExecutionMetrics } from '../scheduling/execution-metrics.ts';
import type { ExecutionScheduler } from '../scheduling/execution-scheduler.ts';
import { Limiter } from '../scheduling/limiter.ts';
import type { SharedSession, SharedState } from '../state/state.ts';
import type { TerminalLimits } from '../terminals/session-terminals.ts';
import { BackgroundEnds } from './attached/background-ends.ts';
import { SessionTasks } from './attached/session-tasks.ts';
import type { BackgroundReading, ReadOptions } from './background-execution.ts';
import type { BackgroundRecords } from './background-records.ts';
import type { Caller } from './caller.ts';
import { checkSame, narrowingBy } from './grants/narrow.ts';
import { HeldExecutions, type HeldOptions } from './held-executions.ts';
import type { OpenedSession, SessionIdentity, SessionSummary } from './identity.ts';
import type { InstallLimits, ParseRequirement } from './install.ts';
import { SessionAdoption } from './lifecycle/adoption.ts';
import { Adoptions } from './lifecycle/adoptions.ts';
import { type CapacityLimits, SessionCapacity } from './lifecycle/capacity.ts';
import { SessionClosing } from './lifecycle/closing.ts';
import { type FollowOptions, followState } from './lifecycle/follow-state.ts';
import { Hibernation } from './lifecycle/hibernation.ts';
import { type Lease, SessionLeases } from './lifecycle/leases.ts';
import type { LifetimeLimits } from './lifecycle/lifetime.ts';
import { SessionLocator } from './lifecycle/locator.ts';
import { ReleasingSessions } from './lifecycle/releasing.ts';
import type { ProvidedSandbox } from './lifecycle/sandbox-host.ts';
import { Takeover } from './lifecycle/takeover.ts';
import { checkName, mintHandle } from './names.ts';
import { RecentExecutions, type SessionUsage } from './recent-executions.ts';
import { type SessionCounts, SessionRegistry } from './registry.ts';
import type { RunLimits } from './run-code.ts';
import { SandboxOwners, type SandboxOwnersOptions } from './sandbox-owners.ts';
import { Session } from './session.ts';
import type { SessionHost } from './session-host.ts';

export type { SessionSummary } from './identity.ts';
export type { Lease } from './lifecycle/leases.ts';
export type { Session } from './session.ts';

const SWEEP_MS = 1000;
/** Number of expired sessions closed at once. With hundreds of removals, an engine no longer answers in time. */
const CLOSED_AT_ONCE = 16;
/** Fraction of the idle time for which a session lasts after its caller's connection ended. */
const DISCONNECTED_PART = 1 / 6;

export interface SessionLimits extends CapacityLimits, LifetimeLimits, RunLimits, InstallLimits, TerminalLimits {
  /** Number of executions of one session at once. */
  readonly concurrency: number;
}

export interface SessionsOptions extends SandboxOwnersOptions {
  readonly limits: SessionLimits;
  readonly parseRequirement: ParseRequirement;
  readonly archives: ArchiveSettings;
  /** Scheduler for the executions of all sessions. */
  readonly scheduler: ExecutionScheduler;
  readonly metrics: ExecutionMetrics;
  /** Gets the engine ready, once, and returns the pool of its sandboxes. */
  readonly prepare: (waiting?: Waiting) => Promise<SandboxSource>;
  /** Returns the records of a session's background executions. */
  readonly recordsOf: (session: SessionIdentity) => BackgroundRecords;
  /** Gives executions access to tools. Default: they have none. */
  readonly tools?: ToolAccess | undefined;
  /** Gives executions access to other hosts. Default: they have none. */
  readonly web?: WebAccess | undefined;
  /** How long executions wait for their callers. */
  readonly callers?: HeldOptions | undefined;
  readonly log: Log;
}

/** Opens, finds, limits, expires and closes sessions. */
export class Sessions {
  readonly #options: SessionsOptions;
  readonly #hibernation: Hibernation;
  readonly #capacity: SessionCapacity;
  readonly #releasing = new ReleasingSessions();
  readonly #closing: SessionClosing;
  readonly #owners: SandboxOwners;
  readonly #registry = new SessionRegistry();
  readonly #adoption: SessionAdoption;
  /** Finds who answers for a session, where several control planes do. */
  readonly locator: SessionLocator;
  /** Listeners to what the control planes share. */
  readonly #listeners = new Disposables();
  /** Sessions of the last run that are still to be adopted. */
  readonly adoptions = new Adoptions();
  /** The last executions of all owners. */
  readonly recent = new RecentExecutions();
  readonly ends = new BackgroundEnds();
  /** Executions whose callers come back for them. */
  readonly held: HeldExecutions;
  /** Executions that their callers follow as tasks. */
  readonly tasks: SessionTasks;
  /** Returns the patterns of a new session. */
  readonly narrow: ReturnType<typeof narrowingBy>;
  readonly #leases: SessionLeases;
  readonly #sweep: NodeJS.Timeout;
  /** Number of expired sessions that are being closed. */
  #expiring = 0;

  constructor(options: SessionsOptions) {
    this.#options = options;
    const { limits, memory, scheduler, archives, log, prepare } = options;
    this.#owners = new SandboxOwners({ ...options, onLost: (session) => this.#closing.lose(session) });
    this.#closing = new SessionClosing({
      ...{ registry: this.#registry, owners: this.#owners, releasing: this.#releasing, log },
    });
    this.narrow = narrowingBy(options.web);
    this.held = new HeldExecutions(options.callers);
    this.#hibernation = new Hibernation(archives, this.#releasing, log);
    this.#capacity = new SessionCapacity({
      limits,
      memory,
      scheduler,
      hibernation: this.#hibernation,
      releasing: this.#releasing,
      adoptions: this.adoptions,
      sessions: () => this.#registry.all(),
      elsewhere: (owner) => memory.elsewhere(owner),
      close: (session, why) => this.#closing.closeLogged(session, why),
    });
    const host: SessionHost = {
      ...options,
      owners: this.#owners,
      ...{ recent: this.recent, ends: this.ends },
      provide: (owner) => this.#provide(owner),
      record: (session) => void this.#owners.record(session),
    };
    const [owners, registry, adoptions] = [this.#owners, this.#registry, this.adoptions];
    this.#adoption = new SessionAdoption({ host, owners, registry, adoptions, log });
    const takeover = new Takeover({ ...{ host, prepare, log }, adoption: this.#adoption, state: options.state });
    this.locator = new SessionLocator({
      ...{ state: options.state, registry },
      takeOver: (session) => takeover.takeOver(session),
      isClosing: (owner, id) => owners.isClosing(owner, id),
    });
    this.#leases = new SessionLeases({
      locator: this.locator,
      registry,
      adoptions,
      capacity: this.#capacity,
      prepare,
      make: (identity) => new Session(identity, host),
    });
    this.tasks = new SessionTasks(registry, this.#leases, limits);
    this.#sweep = setInterval(() => this.#expire(), SWEEP_MS);
    this.#sweep.unref();
  }

  /** Numbers of sessions of all owners, and of their open terminals. */
  get counts(): SessionCounts {
    return this.#registry.counts;
  }

  /**
   * Opens a session with a name, or with a new handle. Returns the existing session of that name, if there is one.
   * @param web patterns of hosts to which its executions are narrowed
   * @throws GloveboxError `invalid_input` for an invalid name, and for patterns that its owner may not reach or that are
   *   not those of the existing session; `capacity_exceeded`, or an error of the engine
   */
  async create(owner: string, name?: string, web?: readonly string[]): Promise<OpenedSession> {
    if (name !== undefined) checkName(name);
    const webPatterns = this.narrow(owner, web);
    using lease = await this.#leases.lease(owner, name ?? mintHandle(), { mint: name === undefined, webPatterns });
    if (!lease.created) checkSame(lease.session, webPatterns);
    return { session: lease.session.summarize(), created: lease.created };
  }

  list(owner: string): SessionSummary[] {
    return this.#registry.of(owner).map((session) => session.summarize());
  }

  /** Finds a session. @throws GloveboxError `session_not_found` if it is unknown, has expired, or has another owner */
  get(owner: string, id: string): Session {
    return this.#registry.get(owner, id);
  }

  /**
   * Finds a session, and waits until it is adopted.
   * @throws GloveboxError `session_not_found` as `get` does, or an error of the engine
   */
  async getAdopted(owner: string, id: string, waiting: Waiting = {}): Promise<Session> {
    return await this.#leases.getAdopted(owner, id, waiting);
  }

  /** Describes a session. @throws GloveboxError as `getAdopted` does */
  async describe(owner: string, id: string, waiting: Waiting = {}): Promise<SessionSummary> {
    return (await this.getAdopted(owner, id, waiting)).summarize();
  }

  /** What a session has used: by its executions since the start, and on disk when it was last saved. */
  usageOf(owner: string, id: string): SessionUsage & { readonly savedBytes?: number } {
    const session = this.#registry.find(owner, id);
    if (!session) return { cpuMs: 0, peakMemoryBytes: 0 };
    return { ...this.recent.usageOf(session), ...(session.record ? { savedBytes: session.record.bytes } : {}) };
  }

  /** Closes a session and removes its contents. @throws GloveboxError `session_not_found` as `get` does */
  async close(owner: string, id: string): Promise<void> {
    await this.#closing.close(this.get(owner, id));
  }

  /**
   * Archives a session and removes its container now, even if its contexts are lost, which the next result reports.
   * Otherwise it would wait for `hibernate_after_s`.
   * @throws GloveboxError `session_not_found` as `get` does; `session_busy` while it is in use, or has files that cannot
   *   be read; then it stays awake
   */
  async hibernate(owner: string, id: string): Promise<void> {
    await this.#hibernation.hibernateNow(this.get(owner, id));
  }

  /**
   * Leases the session of a call. It is named by the call's argument, else by the header, else by the connection;
   * otherwise it is the caller's fallback. Opens the session if necessary.
   * @throws GloveboxError `session_not_found`, `invalid_input`, `capacity_exceeded`, or an error of the engine
   */
  async lease(caller: Caller, argument?: string, waiting: Waiting = {}): Promise<Lease> {
    return await this.#leases.leaseFor(caller, argument, waiting);
  }

  /**
   * Holds a session open without waking it, as soon as it is adopted.
   * @throws GloveboxError `session_not_found` as `get` does, or an error of the engine
   */
  async hold(owner: string, id: string, waiting: Waiting = {}): Promise<Lease> {
    return await this.#leases.hold(owner, id, waiting);
  }

  /**
   * Reads a background execution of one of the owner's sessions, now or after a wait.
   * @param options `waitMs`: longest wait for its end; `offsets`: number of output bytes read already
   * @throws GloveboxError `execution_not_found` if it is unknown, forgotten, or has another owner; as `lease` does; the
   *   reason why the execution could not run
   */
  async readBackground(owner: string, id: string, options: ReadOptions): Promise<BackgroundReading> {
    const { waitMs, offsets, signal } = options;
    using held = await this.holdBackground(owner, id, signal);
    if (waitMs) await held.execution.wait(waitMs, signal);
    return await held.execution.read(offsets, signal);
  }

  /** Holds a background execution and its session. @throws GloveboxError as `readBackground` does */
  holdBackground(owner: string, id: string, signal: AbortSignal) {
    return this.#leases.leaseBackground(owner, id, { signal });
  }

  /** Cancels a background execution and returns its result. @throws GloveboxError as `readBackground` does */
  async cancelBackground(owner: string, id: string, signal: AbortSignal): Promise<BackgroundReading> {
    using held = await this.holdBackground(owner, id, signal);
    held.execution.cancel();
    await held.execution.ended;
    return await held.execution.read({}, signal);
  }

  /** Shortens the idle time of a session, because the connection that used it has ended. A new use cancels this. */
  disconnected(owner: string, id: string): void {
    const session = this.#registry.find(owner, id);
    if (!session || session.lifetime.inUse || session.isHibernated) return;
    session.lifetime.cutTo(new Date(Date.now() + this.#options.limits.idleTtlS * 1000 * DISCONNECTED_PART));
  }

  /** Shares sessions with other control planes: see `followState`. Limits are for all of them from then on. */
  follow(state: SharedState, engine: Engine, pool: FollowOptions['pool']): void {
    const { log, archives, memory, scheduler } = this.#options;
    const [registry, owners, closing] = [this.#registry, this.#owners, this.#closing];
    const parts = { memory, scheduler, registry, owners, closing, log, locator: this.locator };
    this.#listeners.use(followState(state, { ...parts, engine, pool, limits: archives.limits }));
    this.adoptions.goOn();
  }

  has(owner: string, id: string): boolean {
    return this.#registry.find(owner, id) !== undefined;
  }

  /** Takes over a claimed session of an earlier run of this instance, with its sandbox if it still runs. */
  adopt(held: SharedSession, sandbox: SandboxHandle | undefined, record?: ArchiveRecord): void {
    this.#adoption.adopt(held, sandbox, record);
  }

  /** Creates a hibernated session from an archive. @throws GloveboxError when a session of that id exists */
  async adoptArchive(record: ArchiveRecord): Promise<SessionSummary> {
    return await this.#adoption.adoptArchive(record);
  }

  /** Restores sessions of an earlier run that have an archive but no sandbox. */
  async adoptArchives(): Promise<void> {
    await this.#adoption.adoptArchives();
  }

  /** Returns the id for a new session. @throws GloveboxError `invalid_input` for a name that is invalid or taken */
  nameNew(owner: string, name: string | undefined): string {
    if (name === undefined) return mintHandle();
    checkName(name);
    this.#registry.checkFree(owner, name);
    return name;
  }

  /**
   * Ends all sessions: removes them, or leaves their sandboxes for the next run. Archives stay.
   * @param onEnded called after each session with the number of remaining ones
   */
  async shutdown(mode: 'remove' | 'keep', onEnded: (left: number) => void = () => {}): Promise<void> {
    clearInterval(this.#sweep);
    this.#listeners[Symbol.dispose]();
    this.#leases.end();
    const notAdopted = this.adoptions.end();
    const sessions = this.#registry.clear();
    const places = new Limiter(mode === 'remove' ? CLOSED_AT_ONCE : sessions.length, Number.POSITIVE_INFINITY);
    let left = sessions.length;
    await Promise.all(
      sessions.map(async (session) => {
        using _place = await places.enter();
        await this.#closing.end(session, mode, notAdopted.has(session));
        left -= 1;
        onEnded(left);
      }),
    );
  }

  async #provide(owner: string): Promise<ProvidedSandbox> {
    const pool = await this.#options.prepare();
    const sandbox = await this.#capacity.forSandbox(owner, () => {
      this.#leases.checkRunning();
      return pool.take(owner);
    });
    return { sandbox, ...pool.holdRefill() };
  }

  #expire(): void {
    for (const session of this.#registry.all()) {
      const ended = this.#hibernation.hibernateIdle(session) === 'ended';
      if (!ended || this.#expiring >= CLOSED_AT_ONCE) continue;
      this.#expiring += 1;
      void this.#closing.closeLogged(session, 'expired').finally(() => {
        this.#expiring -= 1;
      });
    }
    this.#capacity.trim();
  }
}
