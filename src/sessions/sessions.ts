import type { ArchiveRecord } from '../archives/record.ts';
import type { ArchiveSettings } from '../archives/settings.ts';
import { serverStopping } from '../errors.ts';
import type { Waiting } from '../lib/single-flight.ts';
import type { Log } from '../log.ts';
import type { Pool } from '../sandbox/pool.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import type { ExecutionMetrics } from '../scheduling/execution-metrics.ts';
import type { ExecutionScheduler } from '../scheduling/execution-scheduler.ts';
import { Limiter } from '../scheduling/limiter.ts';
import type { BackgroundExecution, BackgroundReading } from './background-execution.ts';
import type { StreamOffsets } from './background-output.ts';
import type { BackgroundRecords } from './background-records.ts';
import type { Caller } from './caller.ts';
import { type CapacityLimits, SessionCapacity } from './capacity.ts';
import { Hibernation } from './hibernation.ts';
import type { SessionIdentity, SessionSummary } from './identity.ts';
import type { InstallLimits, ParseRequirement } from './install.ts';
import type { LifetimeLimits } from './lifetime.ts';
import type { Manifest } from './manifests.ts';
import { checkName, checkNewId, DEFAULT_NAME, mintHandle } from './names.ts';
import type { Remains } from './recovery.ts';
import { SessionRegistry } from './registry.ts';
import { ReleasingSessions } from './releasing.ts';
import type { RunLimits } from './run-code.ts';
import { SandboxOwners, type SandboxOwnersOptions } from './sandbox-owners.ts';
import { type ProvidedSandbox, Session, type SessionHost } from './session.ts';

export type { SessionSummary } from './identity.ts';
export type { Session } from './session.ts';

const SWEEP_MS = 1000;
/** An engine that has hundreds to remove at once answers nobody in time. */
const CLOSED_AT_ONCE = 16;
/** After its caller's connection ended, an unused session lives for at most this part of its idle time. */
const DISCONNECTED_PART = 1 / 6;

export interface SessionLimits extends CapacityLimits, LifetimeLimits, RunLimits, InstallLimits {
  /** Executions of one session at once. */
  readonly concurrency: number;
}

export interface SessionsOptions extends SandboxOwnersOptions {
  readonly limits: SessionLimits;
  readonly parseRequirement: ParseRequirement;
  readonly archives: ArchiveSettings;
  /** The executions of all sessions. */
  readonly scheduler: ExecutionScheduler;
  readonly metrics: ExecutionMetrics;
  /** Gets the engine ready, once, and answers with the pool of its sandboxes. */
  readonly prepare: (waiting?: Waiting) => Promise<Pool>;
  /** Where the background executions of a session are noted. */
  readonly recordsOf: (session: SessionIdentity) => BackgroundRecords;
  readonly log: Log;
}

/** A session held open for one call; it does not expire before the lease is disposed of. */
export interface Lease extends Disposable {
  readonly session: Session;
  readonly created: boolean;
}

export interface ReadOptions {
  readonly waitMs?: number | undefined;
  readonly offsets?: Partial<StreamOffsets>;
  readonly signal: AbortSignal;
}

/** A session that a call holds, before it is known to have a sandbox. */
interface HeldSession {
  readonly held: Disposable;
  readonly session: Session;
  readonly created: boolean;
}

/** Opens, finds, owns, expires, limits and closes sessions. */
export class Sessions {
  readonly #options: SessionsOptions;
  readonly #hibernation: Hibernation;
  readonly #capacity: SessionCapacity;
  readonly #releasing = new ReleasingSessions();
  readonly #owners: SandboxOwners;
  readonly #registry = new SessionRegistry();
  readonly #host: SessionHost;
  readonly #sweep: NodeJS.Timeout;
  /** Sessions that are being closed because their time is over. */
  #expiring = 0;
  #ended = false;

  constructor(options: SessionsOptions) {
    this.#options = options;
    const { limits, memory, scheduler, archives, log } = options;
    this.#owners = new SandboxOwners(options);
    this.#host = {
      ...options,
      owners: this.#owners,
      provide: (owner) => this.#provide(owner),
      record: (session) => void this.#record(session),
    };
    this.#hibernation = new Hibernation(archives, this.#releasing, log);
    this.#capacity = new SessionCapacity({
      limits,
      memory,
      scheduler,
      hibernation: this.#hibernation,
      releasing: this.#releasing,
      sessions: () => this.#registry.all(),
      close: (session, why) => this.#closeLogged(session, why),
    });
    this.#sweep = setInterval(() => this.#expire(), SWEEP_MS);
    this.#sweep.unref();
  }

  /** Sessions there are, of all owners. */
  get count(): number {
    return this.#registry.size;
  }

  /**
   * Opens a session, of that name or with a new handle; the one of that name if it exists.
   * @throws GloveboxError `invalid_input` for no name, `capacity_exceeded`, or what the engine says
   */
  async create(owner: string, name?: string): Promise<{ session: SessionSummary; created: boolean }> {
    if (name !== undefined) checkName(name);
    using lease = await this.#lease(owner, name ?? mintHandle(), { mint: name === undefined });
    return { session: lease.session.summarize(), created: lease.created };
  }

  list(owner: string): SessionSummary[] {
    return this.#registry.of(owner).map((session) => session.summarize());
  }

  /** @throws GloveboxError `session_not_found` for an unknown, expired or another's session alike. */
  get(owner: string, id: string): Session {
    return this.#registry.get(owner, id);
  }

  /** @throws GloveboxError `session_not_found` as `get` does. */
  describe(owner: string, id: string): SessionSummary {
    return this.get(owner, id).summarize();
  }

  /** Closes a session and removes all that is in it. @throws GloveboxError `session_not_found` as `get` does. */
  async close(owner: string, id: string): Promise<void> {
    await this.#close(this.get(owner, id));
  }

  /**
   * The session that a call means: its argument, else the header, else the one bound to its connection,
   * else the caller's fallback. Opens it if need be.
   * @throws GloveboxError `session_not_found`, `invalid_input`, `capacity_exceeded`, or what the engine says.
   */
  async lease(caller: Caller, argument?: string, waiting: Waiting = {}): Promise<Lease> {
    const named = argument ?? caller.sessionHeader;
    const bound = caller.binding?.sessionId;
    const lease = await (named !== undefined
      ? this.#lease(caller.owner, named, waiting)
      : bound !== undefined && this.has(caller.owner, bound)
        ? this.#lease(caller.owner, bound, waiting)
        : caller.fallback === 'owner'
          ? this.#lease(caller.owner, DEFAULT_NAME, waiting)
          : this.#lease(caller.owner, mintHandle(), { ...waiting, mint: true }));
    if (caller.binding && (bound === undefined || named === undefined)) caller.binding.sessionId = lease.session.id;
    return lease;
  }

  /**
   * A session that is held open as it is: one at rest is not woken.
   * @throws GloveboxError `session_not_found` as `get` does
   */
  hold(owner: string, id: string): Lease {
    const session = this.get(owner, id);
    return { session, created: false, ...session.use() };
  }

  /**
   * A background execution of one of the owner's sessions, as it is by now or at the end of a wait.
   * @param options `waitMs`: how long to wait for its end; `offsets`: bytes of its output that are read already
   * @throws GloveboxError `execution_not_found` for an unknown, forgotten or another's one alike; as `lease` does; what
   * the execution could not be run for
   */
  async readBackground(owner: string, id: string, options: ReadOptions): Promise<BackgroundReading> {
    const { waitMs, offsets, signal } = options;
    using held = await this.#leaseBackground(owner, id, { signal });
    if (waitMs) await held.execution.wait(waitMs, signal);
    return await held.execution.read(offsets, signal);
  }

  /** Ends a background execution, and waits for that; its result. @throws GloveboxError as `readBackground` does */
  async cancelBackground(owner: string, id: string, signal: AbortSignal): Promise<BackgroundReading> {
    using held = await this.#leaseBackground(owner, id, { signal });
    held.execution.cancel();
    await held.execution.ended;
    return await held.execution.read({}, signal);
  }

  /** Says that the connection which used a session has ended: its idle time is cut short, unless it is used again. */
  disconnected(owner: string, id: string): void {
    const session = this.#registry.find(owner, id);
    if (!session || session.lifetime.inUse || session.atRest) return;
    session.lifetime.cutTo(new Date(Date.now() + this.#options.limits.idleTtlS * 1000 * DISCONNECTED_PART));
  }

  has(owner: string, id: string): boolean {
    return this.#registry.find(owner, id) !== undefined;
  }

  /** Takes over a session of an earlier run of this instance, with its sandbox if that still runs. */
  adopt(manifest: Manifest, sandbox: Sandbox | undefined, remains: Remains): void {
    const identity = { id: manifest.session_id, owner: manifest.owner, createdAt: new Date(manifest.created_at) };
    const record = this.#options.archives.find(identity.owner, identity.id);
    const from = { record, ...(sandbox ? { sandbox } : {}) };
    const session = new Session(identity, this.#host, from);
    if (sandbox) this.#owners.adopt(session, sandbox);
    else this.#owners.keepFormer(session, manifest.key);
    session.lifetime.wake(new Date(manifest.woken_at ?? manifest.created_at));
    this.#registry.enter(session);
    session.recover(remains);
    session.lifetime.touch(new Date(manifest.last_used_at));
    for (const { outcome, ended } of session.background.list()) {
      if (outcome) continue;
      const held = session.use();
      void ended.then(() => held[Symbol.dispose]());
    }
  }

  /** Enters a session in the books that is nothing but an archive. @throws GloveboxError when there is one of that id */
  adoptArchive(record: ArchiveRecord): SessionSummary {
    const identity = { id: record.session_id, owner: record.owner, createdAt: new Date(record.created_at) };
    this.#registry.checkFree(identity.owner, identity.id);
    const session = new Session(identity, this.#host, { record });
    session.lifetime.touch(new Date(record.saved_at));
    this.#registry.enter(session);
    return session.summarize();
  }

  /** Brings back what is left of sessions of an earlier run that have no sandbox any more. */
  async adoptArchives(): Promise<void> {
    const { archives, log } = this.#options;
    for (const record of archives.store.records) {
      if (record.kind !== 'session' || this.has(record.owner, record.session_id)) continue;
      const { session_id: session, owner, saved_at } = record;
      const ended = Date.parse(saved_at) + this.#options.limits.idleTtlS * 1000 <= Date.now();
      if (!record.at_rest && !archives.hibernates && ended) {
        await archives.store.remove(record.id);
        continue;
      }
      if (!record.at_rest) archives.store.update(record.id, { at_rest: true });
      this.adoptArchive(archives.store.get(record.id) ?? record);
      // Of those that ended before it came to rest, the results are still there.
      this.#registry.find(owner, session)?.recover({ contexts: [] });
      log.info('a session came back as an archive', { session, owner });
      if (record.at_rest) continue;
      const lost = ['files', 'contexts', 'background'] as const;
      this.#registry.find(owner, session)?.tell({ reason: 'sandbox_lost', lost, restored_from: saved_at });
    }
  }

  /** The id of a session that is to be made. @throws GloveboxError `invalid_input` for no name, or one that is taken */
  nameNew(owner: string, name: string | undefined): string {
    if (name === undefined) return mintHandle();
    checkName(name);
    this.#registry.checkFree(owner, name);
    return name;
  }

  /** @throws GloveboxError `invalid_input` when the owner has such a session */
  checkFree(owner: string, id: string): void {
    this.#registry.checkFree(owner, id);
  }

  /**
   * Ends all sessions: removes them, or leaves their sandboxes for the next run to adopt. Archives stay.
   * @param onEnded hears how many are left after each one
   */
  async shutdown(mode: 'remove' | 'keep', onEnded: (left: number) => void = () => {}): Promise<void> {
    clearInterval(this.#sweep);
    this.#ended = true;
    const sessions = this.#registry.clear();
    const places = new Limiter(mode === 'remove' ? CLOSED_AT_ONCE : sessions.length, Number.POSITIVE_INFINITY);
    let left = sessions.length;
    await Promise.all(
      sessions.map(async (session) => {
        using _place = await places.enter();
        await this.#end(session, mode);
        left -= 1;
        onEnded(left);
      }),
    );
  }

  async #end(session: Session, mode: 'remove' | 'keep'): Promise<void> {
    if (mode === 'remove' && !session.atRest) return await session.close().catch(() => {});
    const key = await session.sandboxKey();
    if (key) this.#owners.write(session, key);
    await session.abandon();
  }

  async #provide(owner: string): Promise<ProvidedSandbox> {
    const pool = await this.#options.prepare();
    const sandbox = await this.#capacity.forSandbox(owner, () => {
      this.#checkRunning();
      return pool.take(owner);
    });
    return { sandbox, ...pool.holdRefill() };
  }

  /** A background execution, whose session is held open and awake. */
  async #leaseBackground(
    owner: string,
    id: string,
    waiting: Waiting,
  ): Promise<Lease & { readonly execution: BackgroundExecution }> {
    const { session, execution } = this.#registry.findBackground(owner, id);
    const lease = session.atRest ? await this.#lease(owner, session.id, waiting) : this.hold(owner, session.id);
    return { ...lease, execution };
  }

  async #lease(owner: string, id: string, options: Waiting & { readonly mint?: boolean }): Promise<Lease> {
    const found = this.#registry.find(owner, id);
    if (!found && !options.mint) checkNewId(id);
    const { held, session, created } = found
      ? { held: found.lifetime.hold(), session: found, created: false }
      : await this.#open(owner, id, options);
    using _held = held;
    try {
      while (session.atRest) {
        const left = this.#capacity.forSession(owner);
        if (!left) break;
        await this.#waitFor(left, options);
      }
      await session.open();
    } catch (error) {
      if (created) this.#registry.remove(session);
      throw error;
    }
    session.lifetime.touch();
    return { session, created, ...session.use() };
  }

  /**
   * Enters a new session in the books before it has a sandbox, so that a second call of that name finds it.
   * The session is in use from then on.
   */
  async #open(owner: string, id: string, waiting: Waiting): Promise<HeldSession> {
    await this.#waitFor(this.#options.prepare(waiting), waiting);
    for (;;) {
      const existing = this.#registry.find(owner, id);
      if (existing) return { held: existing.lifetime.hold(), session: existing, created: false };
      const left = this.#capacity.forSession(owner);
      if (!left) break;
      await this.#waitFor(left, waiting);
    }
    const session = new Session({ id, owner, createdAt: new Date() }, this.#host);
    const held = session.lifetime.hold();
    session.lifetime.touch();
    this.#registry.enter(session);
    return { held, session, created: true };
  }

  /** @throws the signal's reason, or GloveboxError `engine_unavailable` when the server ends meanwhile */
  async #waitFor(work: Promise<unknown>, { signal }: Waiting): Promise<void> {
    await work;
    signal?.throwIfAborted();
    this.#checkRunning();
  }

  #checkRunning(): void {
    if (this.#ended) throw serverStopping();
  }

  #expire(): void {
    for (const session of this.#registry.all()) {
      const isOld = !session.atRest && session.lifetime.isOver;
      const ended = this.#hibernation.look(session, isOld) === 'ended';
      if (!ended || this.#expiring >= CLOSED_AT_ONCE) continue;
      this.#expiring += 1;
      void this.#closeLogged(session, 'expired').finally(() => {
        this.#expiring -= 1;
      });
    }
    this.#capacity.trim();
  }

  /** For whoever only needs it gone: what cannot be removed is logged. */
  async #closeLogged(session: Session, why: string): Promise<void> {
    const about = { session: session.id, owner: session.owner };
    this.#options.log.info('closing a session', { ...about, why });
    await this.#close(session).catch((error: unknown) =>
      this.#options.log.warn('a session could not be removed', { ...about, error }),
    );
  }

  async #close(session: Session): Promise<void> {
    this.#registry.remove(session);
    this.#owners.forgetFormer(session);
    await this.#releasing.add(session, session.close());
  }

  async #record(session: Session): Promise<void> {
    const key = await session.sandboxKey();
    if (key && this.#registry.has(session)) this.#owners.write(session, key);
  }
}
