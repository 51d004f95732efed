import type { Duplex } from 'node:stream';
import type { ArchiveRecord } from '../archives/record.ts';
import type { Log } from '../log.ts';
import type { TunnelService } from '../protocol/channel.ts';
import type { SandboxHandle } from '../sandbox/sandbox.ts';
import { leftBehind } from '../sandbox/start-sandbox.ts';
import type { ExecutionMetrics } from '../scheduling/execution-metrics.ts';
import type { MemoryQuota } from '../scheduling/memory-quota.ts';
import type { SavedSession, SharedSession, SharedState } from '../state/state.ts';
import type { SessionTerminals } from '../terminals/session-terminals.ts';
import type { BackgroundExecutions } from './background-executions.ts';
import type { Contexts } from './contexts.ts';
import type { SessionIdentity } from './identity.ts';
import type { Downloads } from './installation.ts';
import type { Lifetime } from './lifecycle/lifetime.ts';
import { isHoldLost, SessionHold } from './session-hold.ts';

/** Longest time by which the time of last use in the state may be behind, in milliseconds. */
const WRITE_EVERY_MS = 10_000;

/** Part of a session that concerns its sandbox. */
export interface OwningSession extends SessionIdentity {
  readonly lifetime: Pick<Lifetime, 'lastUsedAt' | 'wokenAt'>;
  readonly contexts: Pick<Contexts, 'names'>;
  readonly background: Pick<BackgroundExecutions, 'busyUntil' | 'saved'>;
  readonly terminals: Pick<SessionTerminals, 'recorded'>;
  readonly record: Pick<ArchiveRecord, 'id' | 'at_rest'> | undefined;
  readonly downloads: Downloads;
}

/** Session that is written down again and again. */
export interface RecordedSession extends OwningSession {
  /** Returns the key of its current sandbox, if there is one. */
  sandboxKey(): Promise<string | undefined>;
}

/** The sandbox that the state names for a session. */
type NamedSandbox = Pick<SandboxHandle, 'key' | 'ref'>;

export interface SandboxOwnersOptions {
  /** Returns what the control planes share. It is there once the engine is ready. */
  readonly state: () => SharedState;
  /** Memory quota of all sandboxes. */
  readonly memory: MemoryQuota;
  readonly log: Log;
  readonly metrics?: Pick<ExecutionMetrics, 'countLost'>;
  /** Called with each connection that code of a session makes to a service. */
  readonly onTunnel?: (tunnel: Duplex, session: OwningSession, service: TunnelService) => void;
  /** Called when a session gets a sandbox, before anything runs there. */
  readonly onSandbox?: (session: SessionIdentity) => void;
  /** Called when another control plane holds a session of this one. */
  readonly onLost?: (session: OwningSession) => void;
}

/** Records the owner of each sandbox: counts its memory against the owner, and writes its session down for the next run. */
export class SandboxOwners {
  readonly #options: SandboxOwnersOptions;
  /** Owners by sandbox key. */
  readonly #owners = new Map<string, string>();
  readonly #holds = new WeakMap<OwningSession, SessionHold>();
  /** What the state is to name as the sandbox of each session: its present one, or one that was gone at the start. */
  readonly #named = new WeakMap<OwningSession, NamedSandbox>();
  /** Time when each session was last written down, in milliseconds since 1970. */
  readonly #writtenAt = new WeakMap<OwningSession, number>();
  /** Sessions that are being removed from the state, by owner and id. */
  readonly #ending = new Map<string, Promise<void>>();

  constructor(options: SandboxOwnersOptions) {
    this.#options = options;
  }

  /** Records the sandbox of a session. Its memory is already counted against the owner. */
  enter(session: OwningSession, sandbox: SandboxHandle): void {
    const { onTunnel, onSandbox } = this.#options;
    onSandbox?.(session);
    this.#owners.set(sandbox.key, session.owner);
    if (onTunnel) sandbox.onTunnel = (tunnel, service) => onTunnel(tunnel, session, service);
    sandbox.hold = {
      require: () => this.requireHeld(session),
      isConfirmed: async () => (await this.#holds.get(session)?.isConfirmed()) === true,
    };
    sandbox.generation = this.generationOf(session);
  }

  /** Records a sandbox of an earlier holder for its session, even beyond the limits. */
  adopt(session: OwningSession, sandbox: SandboxHandle): void {
    this.#options.memory.claimAnyway(session.owner);
    this.enter(session, sandbox);
  }

  /** Counts a sandbox that is gone no more. */
  leave({ key }: Pick<SandboxHandle, 'key'>): void {
    const owner = this.#owners.get(key);
    if (this.#owners.delete(key) && owner !== undefined) this.#options.memory.release(owner);
  }

  /** Removes a sandbox that ended by itself. */
  lose(sandbox: SandboxHandle): void {
    this.#options.metrics?.countLost();
    this.leave(sandbox);
  }

  /** Records that this control plane has claimed a session. The state names its sandbox until it has another. */
  hold(session: OwningSession, shared: SharedSession): void {
    const { key, ref } = shared.saved ?? {};
    if (key !== undefined) this.#named.set(session, { key, ref: ref ?? '' });
    this.#holds.set(
      session,
      new SessionHold(shared, {
        state: this.#options.state(),
        describe: () => this.#describe(session),
        onLost: () => this.#options.onLost?.(session),
      }),
    );
  }

  /** Takes the name of a new session, unless that is done. @throws SessionExists */
  async create(session: OwningSession): Promise<void> {
    const { owner, id, createdAt } = session;
    if (this.#holds.has(session)) return;
    await this.#ending.get(keyOf(session));
    this.#writtenAt.set(session, Date.now());
    this.hold(session, await this.#options.state().create(owner, id, this.#describe(session), createdAt));
  }

  /**
   * Claims a sandbox for a session. Nothing may run in it before that is written down.
   * @throws SessionExists, HoldLost, or GloveboxError `engine_unavailable`, also if another may have taken it over
   */
  async assign(session: OwningSession, sandbox: SandboxHandle): Promise<void> {
    this.#named.set(session, sandbox);
    if (this.#holds.has(session)) await this.#holds.get(session)?.writeNow();
    else await this.create(session);
    if (this.isForeign(sandbox)) throw leftBehind();
    sandbox.generation = this.generationOf(session);
  }

  /**
   * Writes down that a session no longer has a sandbox, unless it has another already. If that fails, a later write tells it.
   * @throws HoldLost; then the sandbox belongs to another control plane
   */
  async unassign(session: OwningSession, { key }: Pick<SandboxHandle, 'key'>): Promise<void> {
    if (this.#named.get(session)?.key !== key) return;
    this.#named.delete(session);
    await this.write(session);
  }

  /** Writes down the current state of a session. A failure is logged, and a later write makes up for it. @throws HoldLost */
  async write(session: OwningSession): Promise<void> {
    this.#writtenAt.set(session, Date.now());
    try {
      await this.#holds.get(session)?.write();
    } catch (error) {
      if (isHoldLost(error)) throw error;
      this.#writtenAt.delete(session);
      const about = { session: session.id, owner: session.owner };
      this.#options.log.warn('the state of a session could not be written down', { ...about, error });
    }
  }

  /** Writes down a session that has a sandbox, because something of it has changed. Nothing fails because of that. */
  async record(session: RecordedSession): Promise<void> {
    const key = await session.sandboxKey();
    // One whose sandbox was gone at the start has nothing new to tell. One without a sandbox consists of its archive.
    if (key === undefined || key !== this.#named.get(session)?.key) return;
    // Whoever holds it now has told so.
    await this.write(session).catch(() => {});
  }

  /** Resolves when the write under way of a session has ended. */
  async recorded(session: OwningSession): Promise<void> {
    await this.#holds.get(session)?.settled();
  }

  /** Whether what is written of a session is old enough to write it again after a use. Doing so for each call would slow calls down. */
  isOutdated(session: OwningSession): boolean {
    return session.lifetime.lastUsedAt.getTime() - (this.#writtenAt.get(session) ?? 0) >= WRITE_EVERY_MS;
  }

  /** A session as the state has it. Undefined for a new one that it does not have yet. */
  sharedOf(session: OwningSession): SharedSession | undefined {
    return this.#holds.get(session)?.shared;
  }

  /** Number of this hold on a session among all. Undefined if it is not counted, or there is no hold yet. */
  generationOf(session: OwningSession): number | undefined {
    return this.#holds.get(session)?.shared.generation || undefined;
  }

  /** Checks that this control plane still holds a session. @throws HoldLost */
  requireHeld(session: OwningSession): void {
    this.#holds.get(session)?.require();
  }

  /** Whether another control plane may hold a session of this one. */
  isLost(session: OwningSession): boolean {
    return this.#holds.get(session)?.isValid === false;
  }

  /**
   * Whether a sandbox of a pool is of an earlier run of this control plane, whose lease ran out. Others take such sandboxes
   * over, unless a record names them that the same run has written.
   */
  isForeign({ instance }: Pick<SandboxHandle, 'instance'>): boolean {
    return instance !== undefined && instance !== this.#options.state().label;
  }

  /** Whether a session of that id is being closed. */
  isClosing(owner: string, id: string): boolean {
    return this.#ending.has(keyOf({ owner, id }));
  }

  /** Removes a session from the state. @throws HoldLost */
  async end(session: OwningSession): Promise<void> {
    const ended = this.#holds.get(session)?.remove();
    if (!ended) return;
    const key = keyOf(session);
    this.#ending.set(
      key,
      ended.catch(() => {}),
    );
    await ended.finally(() => this.#ending.delete(key));
  }

  /** Describes a session for `release`, before its parts are let go. */
  describe(session: OwningSession): SavedSession {
    return this.#describe(session);
  }

  /** Leaves a session to another control plane. @param saved what it is to know; default: what was last written */
  async release(session: OwningSession, saved?: SavedSession): Promise<void> {
    const hold = this.#holds.get(session);
    const known = saved ?? hold?.shared.saved;
    if (hold && known) await hold.release(known);
  }

  /** Writes nothing more of a session that another control plane may hold. */
  abandon(session: OwningSession): void {
    this.#holds.get(session)?.abandon();
  }

  #describe(session: OwningSession): SavedSession {
    const { key, ref } = this.#named.get(session) ?? {};
    const { record, webPatterns } = session;
    const { busyUntil, saved: background } = session.background;
    const { recorded: terminals } = session.terminals;
    return {
      ...(key === undefined ? {} : { key }),
      ...(ref ? { ref } : {}),
      last_used_at: session.lifetime.lastUsedAt.toISOString(),
      woken_at: session.lifetime.wokenAt.toISOString(),
      contexts: session.contexts.names,
      ...(terminals.length > 0 ? { terminals } : {}),
      ...(webPatterns ? { web: [...webPatterns] } : {}),
      ...(busyUntil ? { busy_until: busyUntil.toISOString() } : {}),
      ...(background.length > 0 ? { background } : {}),
      ...(record ? { archive: record.id, at_rest: record.at_rest } : {}),
    };
  }
}

/** Returns a unique key for owner and id: no name contains NUL. */
function keyOf({ owner, id }: Pick<SessionIdentity, 'owner' | 'id'>): string {
  return `${owner}\0${id}`;
}
