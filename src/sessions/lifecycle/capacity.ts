import { capacityExceeded, GloveboxError } from '../../errors.ts';
import type { ExecutionScheduler } from '../../scheduling/execution-scheduler.ts';
import type { MemoryQuota } from '../../scheduling/memory-quota.ts';
import type { Session } from '../session.ts';
import type { Adoptions } from './adoptions.ts';
import type { Hibernation } from './hibernation.ts';
import type { ReleasingSessions } from './releasing.ts';

/** Number of sessions of one owner that make room at the same time. Each uses much of a processor. */
const AT_ONCE = 4;
/** Longest time that a refused caller is told to wait, in seconds. It is not known when others make room. */
const MOST_RETRY_AFTER_S = 600;

export interface CapacityLimits {
  readonly maxSessions: number;
  readonly maxSessionsPerOwner: number;
  readonly maxHibernatedPerOwner: number;
}

export interface CapacityOptions {
  readonly limits: CapacityLimits;
  readonly memory: MemoryQuota;
  readonly scheduler: ExecutionScheduler;
  readonly hibernation: Hibernation;
  readonly releasing: ReleasingSessions;
  readonly adoptions: Adoptions;
  /** Returns all current sessions. */
  readonly sessions: () => Iterable<Session>;
  /** Returns the number of awake sessions that other control planes have: of an owner, or of all. */
  readonly elsewhere: (owner?: string) => number;
  /** Closes a session. It stops counting at the moment of the call. */
  readonly close: (session: Session, why: string) => Promise<void>;
}

/**
 * Keeps sessions and their sandboxes within the limits. When a limit is reached, the owner's least recently used idle
 * session makes room, never a session of another owner. It is hibernated, or closed if that is not possible.
 */
export class SessionCapacity {
  readonly #options: CapacityOptions;

  constructor(options: CapacityOptions) {
    this.#options = options;
  }

  /**
   * Checks whether the owner may have one more awake session. Returns undefined if so: the caller must then register the
   * session at once, without waiting for anything. Otherwise returns a promise to await before asking again. The promise
   * rejects with GloveboxError `capacity_exceeded` if none of the owner's sessions is idle.
   */
  forSession(owner: string): Promise<void> | undefined {
    const limit = this.#limitMet(owner);
    if (limit === undefined) return undefined;
    const message = `This server allows ${limit}, and none of yours is idle.`;
    return this.#makeRoom(owner, () =>
      capacityExceeded(message, this.#retryAfterS(owner), 'Close a session that is no longer needed.'),
    );
  }

  /**
   * Makes memory for one more sandbox of the owner, then calls `take` and returns its result.
   * @throws GloveboxError `capacity_exceeded` when none of the owner's sessions is idle
   */
  async forSandbox<T>(owner: string, take: () => Promise<T>): Promise<T> {
    const { memory } = this.#options;
    for (;;) {
      while (!memory.fits(owner)) await this.#makeRoom(owner, () => memory.exceeded(owner, this.#retryAfterS(owner)));
      try {
        return await take();
      } catch (error) {
        // Another call may have taken the memory first.
        const isFull = error instanceof GloveboxError && error.code === 'capacity_exceeded' && !memory.fits(owner);
        if (!isFull) throw error;
      }
    }
  }

  /** Closes the least recently used hibernated sessions of owners who have too many. */
  trim(): void {
    const hibernated = [...this.#options.sessions()].filter((session) => session.isHibernated);
    for (const own of Map.groupBy(hibernated, (session) => session.owner).values()) {
      const excess = own.length - this.#options.limits.maxHibernatedPerOwner;
      if (excess <= 0) continue;
      const unused = own.filter((session) => !session.lifetime.inUse).sort(byLastUse);
      for (const session of unused.slice(0, excess)) void this.#options.close(session, 'too many hibernated sessions');
    }
  }

  /** Describes the limit of awake sessions that is reached, if any. */
  #limitMet(owner: string): string | undefined {
    const { maxSessions, maxSessionsPerOwner } = this.#options.limits;
    const awake = [...this.#options.sessions()].filter((session) => !session.isHibernated);
    const own = awake.filter((session) => session.owner === owner).length + this.#options.elsewhere(owner);
    if (own >= maxSessionsPerOwner) return `${maxSessionsPerOwner} sessions for one owner`;
    return awake.length + this.#options.elsewhere() >= maxSessions ? `${maxSessions} sessions in all` : undefined;
  }

  /** Waits until one session of the owner has given up its sandbox. Each waiting call frees exactly one. */
  async #makeRoom(owner: string, refusal: () => GloveboxError): Promise<void> {
    const { releasing, adoptions } = this.#options;
    const oldest = releasing.count(owner) < AT_ONCE ? this.#oldestIdle(owner) : undefined;
    if (oldest) return await releasing.add(oldest, this.#release(oldest));
    // A session that is not adopted yet may be idle.
    const next = releasing.next(owner) ?? adoptions.oldestOf(owner);
    if (!next) throw refusal();
    await next;
  }

  /** Finds the owner's idle session to free. Sessions without live contexts or terminals come first, because they lose nothing. */
  #oldestIdle(owner: string): Session | undefined {
    const { sessions, releasing } = this.#options;
    const idle = [...sessions()]
      .filter(
        (session) =>
          session.owner === owner && !session.lifetime.inUse && !session.isHibernated && !releasing.has(session),
      )
      .sort(byLastUse);
    const losesNothing = ({ contexts, terminals }: Session) =>
      contexts.names.length === 0 && terminals.live.length === 0;
    return idle.find(losesNothing) ?? idle[0];
  }

  /** Frees a session's sandbox. @throws GloveboxError `engine_unavailable`, when closing sessions would not help */
  async #release(session: Session): Promise<void> {
    const { hibernation, close } = this.#options;
    try {
      const outcome = hibernation.enabled ? await hibernation.hibernate(session, { force: true }) : 'nothing';
      if (outcome !== 'nothing') return;
    } catch (error) {
      if (error instanceof GloveboxError && error.code === 'engine_unavailable') throw error;
    }
    if (!session.lifetime.inUse) await close(session, 'made room for another session');
  }

  /** Estimates the seconds until a call of the owner ends or, if the owner has no sandbox, until another owner's is gone. */
  #retryAfterS(owner: string): number {
    if (this.#options.memory.has(owner)) return this.#options.scheduler.retryAfterS(owner);
    const soonest = Math.min(...[...this.#options.sessions()].map(({ lifetime }) => lifetime.expiresAt.getTime()));
    return Math.min(MOST_RETRY_AFTER_S, Math.max(1, Math.ceil((soonest - Date.now()) / 1000)));
  }
}

function byLastUse(a: Session, b: Session): number {
  return a.lifetime.lastUsedAt.getTime() - b.lifetime.lastUsedAt.getTime();
}
