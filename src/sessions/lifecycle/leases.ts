import { serverStopping } from '../../errors.ts';
import { beforeBegin } from '../../execution/begun.ts';
import type { Waiting } from '../../lib/single-flight.ts';
import { unlessAborted } from '../../lib/unless-aborted.ts';
import { SessionExists } from '../../state/state.ts';
import { traceSession } from '../../telemetry/session-spans.ts';
import type { BackgroundExecution } from '../background-execution.ts';
import type { Caller } from '../caller.ts';
import type { SessionIdentity } from '../identity.ts';
import { checkNewId, DEFAULT_NAME, mintHandle } from '../names.ts';
import type { SessionRegistry } from '../registry.ts';
import type { Session } from '../session.ts';
import type { Adoptions } from './adoptions.ts';
import type { SessionCapacity } from './capacity.ts';
import type { SessionLocator } from './locator.ts';

/** Session held open for one call. It does not expire before the lease is disposed of. */
export interface Lease extends Disposable {
  readonly session: Session;
  readonly created: boolean;
}

export interface SessionLeasesOptions {
  /** Takes over sessions that no control plane holds. */
  readonly locator: Pick<SessionLocator, 'bringHere' | 'sessionOfExecution'>;
  readonly registry: SessionRegistry;
  readonly capacity: SessionCapacity;
  readonly adoptions: Adoptions;
  /** Gets the engine ready, once. */
  readonly prepare: (waiting: Waiting) => Promise<unknown>;
  /** Creates a new session. */
  readonly make: (identity: SessionIdentity) => Session;
}

/** Session that a call holds, possibly still without a sandbox. */
interface HeldSession {
  readonly held: Disposable;
  readonly session: Session;
  readonly created: boolean;
}

/** Finds or creates the sessions for calls, and holds them open and awake. */
export class SessionLeases {
  readonly #options: SessionLeasesOptions;
  #ended = false;

  constructor(options: SessionLeasesOptions) {
    this.#options = options;
  }

  /** Ends all waits for sessions, because the server is shutting down. */
  end(): void {
    this.#ended = true;
  }

  /** @throws GloveboxError `engine_unavailable` when the server is shutting down */
  checkRunning(): void {
    if (this.#ended) throw serverStopping();
  }

  /** Leases the session of a call, see `Sessions.lease`. */
  async leaseFor(caller: Caller, argument: string | undefined, waiting: Waiting): Promise<Lease> {
    return await beforeBegin(this.#leaseFor(caller, argument, waiting));
  }

  async #leaseFor(caller: Caller, argument: string | undefined, waiting: Waiting): Promise<Lease> {
    const { owner, binding } = caller;
    const named = argument ?? caller.sessionHeader;
    const bound = binding?.sessionId;
    const isBound = bound !== undefined && this.#options.registry.find(owner, bound) !== undefined;
    const known = named ?? (isBound ? bound : caller.fallback === 'owner' ? DEFAULT_NAME : undefined);
    const lease =
      known === undefined
        ? await this.lease(owner, mintHandle(), { ...waiting, mint: true })
        : await this.lease(owner, known, waiting);
    if (binding && (bound === undefined || named === undefined)) binding.sessionId = lease.session.id;
    return lease;
  }

  /**
   * Leases the owner's session of that id, awake. Creates it if it does not exist.
   * @param options `mint`: the id is a new handle, created for this call; `webPatterns`: those of a new session
   * @throws GloveboxError `session_not_found`, `invalid_input`, `capacity_exceeded`, or an error of the engine
   */
  async lease(
    owner: string,
    id: string,
    options: Waiting & Pick<SessionIdentity, 'webPatterns'> & { readonly mint?: boolean },
  ): Promise<Lease> {
    const { registry, adoptions } = this.#options;
    if (!options.mint && !registry.find(owner, id)) await this.#bringHere(owner, id, options);
    const found = registry.find(owner, id);
    if (!found && !options.mint) checkNewId(id);
    // Most sessions are there, and this takes no time.
    if (found && !found.isHibernated && !adoptions.has(found)) return await this.#leaseNow(owner, id, options, found);
    return await traceSession('glovebox.session.lease', { owner, id }, () =>
      this.#leaseNow(owner, id, options, registry.find(owner, id)),
    );
  }

  async #leaseNow(
    owner: string,
    id: string,
    options: Waiting & Pick<SessionIdentity, 'webPatterns'>,
    found: Session | undefined,
  ): Promise<Lease> {
    const { registry, capacity } = this.#options;
    const { held, session, created } = found
      ? { held: found.lifetime.hold(), session: found, created: false }
      : await this.#open(owner, id, options);
    try {
      // Only then is it known whether it has a sandbox.
      await this.#adopted(session, options);
      while (session.isHibernated) {
        const released = capacity.forSession(owner);
        if (!released) break;
        await this.#waitFor(released, options);
      }
      await session.open();
      session.lifetime.touch();
      return { session, created, ...session.use() };
    } catch (error) {
      const isTaken = error instanceof SessionExists;
      if (created || isTaken) registry.remove(session);
      if (isTaken) return await this.lease(owner, id, options);
      throw error;
    } finally {
      held[Symbol.dispose]();
    }
  }

  /**
   * Finds a session, and waits until it is adopted.
   * @throws GloveboxError `session_not_found`; `engine_unavailable` when it cannot be adopted now
   */
  async getAdopted(owner: string, id: string, waiting: Waiting): Promise<Session> {
    return await beforeBegin(this.#getAdopted(owner, id, waiting));
  }

  async #getAdopted(owner: string, id: string, waiting: Waiting): Promise<Session> {
    const { registry } = this.#options;
    if (!registry.find(owner, id)) await this.#bringHere(owner, id, waiting);
    await this.#adopted(registry.get(owner, id), waiting);
    return registry.get(owner, id);
  }

  /** Holds a session open without waking it. @throws GloveboxError as `getAdopted` does */
  async hold(owner: string, id: string, waiting: Waiting): Promise<Lease> {
    const session = await this.getAdopted(owner, id, waiting);
    return { session, created: false, ...session.use() };
  }

  /** Finds a background execution without waking its session. @throws GloveboxError `execution_not_found`; SessionElsewhere */
  async findBackground(owner: string, id: string, waiting: Waiting) {
    const { registry, locator } = this.#options;
    const isHere = registry.of(owner).some(({ background, records }) => background.get(id) ?? records.has(id));
    const session = isHere ? undefined : locator.sessionOfExecution(owner, id);
    if (session !== undefined && !registry.find(owner, session)) await this.#bringHere(owner, session, waiting);
    // The executions of a session are known once it is adopted.
    const recorded = registry.of(owner).find(({ background, records }) => !background.get(id) && records.has(id));
    if (recorded) await this.#adopted(recorded, waiting);
    return registry.findBackground(owner, id);
  }

  /** Leases the session of a background execution, awake. @throws GloveboxError `execution_not_found` */
  async leaseBackground(
    owner: string,
    id: string,
    waiting: Waiting,
  ): Promise<Disposable & { readonly execution: BackgroundExecution }> {
    const { session, execution } = await beforeBegin(this.findBackground(owner, id, waiting));
    const lease = session.isHibernated
      ? await beforeBegin(this.lease(owner, session.id, waiting))
      : await this.hold(owner, session.id, waiting);
    return { ...lease, execution };
  }

  /** Takes over a session that no control plane holds. @throws SessionElsewhere */
  async #bringHere(owner: string, id: string, { signal = new AbortController().signal }: Waiting): Promise<void> {
    await this.#options.locator.bringHere(owner, id, signal);
  }

  /** Waits until a session of an earlier control plane is adopted, before all others. */
  async #adopted(session: Session, waiting: Waiting): Promise<void> {
    const { adoptions } = this.#options;
    if (!adoptions.has(session)) return;
    const adopted = adoptions.now(session);
    await this.#waitFor(waiting.signal ? unlessAborted(adopted, waiting.signal) : adopted, waiting);
  }

  /**
   * Registers a new session before it has a sandbox, so that a second call with the same name finds it. The session counts
   * as in use from then on.
   */
  async #open(
    owner: string,
    id: string,
    { webPatterns, ...waiting }: Waiting & Pick<SessionIdentity, 'webPatterns'>,
  ): Promise<HeldSession> {
    const { registry, capacity, prepare, make } = this.#options;
    await this.#waitFor(prepare(waiting), waiting);
    for (;;) {
      const existing = registry.find(owner, id);
      if (existing) return { held: existing.lifetime.hold(), session: existing, created: false };
      const released = capacity.forSession(owner);
      if (!released) break;
      await this.#waitFor(released, waiting);
    }
    const session = make({ id, owner, createdAt: new Date(), webPatterns });
    const held = session.lifetime.hold();
    session.lifetime.touch();
    registry.enter(session);
    return { held, session, created: true };
  }

  /** Waits. @throws the signal's reason, or GloveboxError `engine_unavailable` when the server shuts down meanwhile */
  async #waitFor(work: Promise<unknown>, { signal }: Waiting): Promise<void> {
    await work;
    signal?.throwIfAborted();
    this.checkRunning();
  }
}
