import type { ArchiveSettings } from '../../archives/settings.ts';
import { GloveboxError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { traceSession } from '../../telemetry/session-spans.ts';
import type { Session } from '../session.ts';
import type { HibernationOutcome } from '../session-sandbox.ts';
import type { ReleasingSessions } from './releasing.ts';

/** Pause after a failed attempt, in milliseconds. */
const RETRY_MS = 5 * 60_000;

/** Hibernates idle sessions, and finds those that have expired. */
export class Hibernation {
  readonly #archives: ArchiveSettings;
  readonly #releasing: ReleasingSessions;
  readonly #log: Log;
  readonly #underWay = new Map<Session, Promise<HibernationOutcome>>();
  /** Time of the next attempt for each session. Infinity while it waits for its turn. */
  readonly #notBefore = new WeakMap<Session, number>();

  constructor(archives: ArchiveSettings, releasing: ReleasingSessions, log: Log) {
    this.#archives = archives;
    this.#releasing = releasing;
    this.#log = log;
  }

  /** Whether idle sessions are hibernated. */
  get enabled(): boolean {
    return this.#archives.hibernates;
  }

  /**
   * Starts to hibernate a session if it is idle. Called for each session at intervals. A session with live contexts
   * or terminals stays awake for its whole idle time; then it loses them, but not its files.
   * @returns `ended` if the session has expired and must be closed
   */
  hibernateIdle(session: Session): 'goes on' | 'ended' {
    const { lifetime, isHibernated } = session;
    if (lifetime.inUse) return 'goes on';
    const isOld = !isHibernated && lifetime.isOver;
    const isExpired = lifetime.expiresAt.getTime() <= Date.now();
    if (isExpired && (isHibernated || isOld || !this.enabled)) return 'ended';
    if (isHibernated || !this.enabled) return 'goes on';
    const isIdle = lifetime.lastUsedAt.getTime() + this.#archives.limits.hibernateAfterS * 1000 <= Date.now();
    const losesNothing = session.contexts.names.length === 0 && session.terminals.live.length === 0;
    if (!isExpired && !(isIdle && losesNothing)) return 'goes on';
    const notBefore = this.#notBefore.get(session) ?? 0;
    if (notBefore > Date.now()) return isExpired && notBefore !== Number.POSITIVE_INFINITY ? 'ended' : 'goes on';
    void this.#hibernateInTurn(session, isExpired);
    return 'goes on';
  }

  /**
   * Hibernates a session now, or waits if that is already in progress.
   * @param options `force`: even if something is lost, which the next result then reports
   * @throws as `Session.hibernate` does; the session stays awake
   */
  async hibernate(session: Session, { force }: { readonly force: boolean }): Promise<HibernationOutcome> {
    const underWay = this.#underWay.get(session);
    if (underWay !== undefined) return await underWay;
    const work = this.#hibernate(session, force).finally(() => this.#underWay.delete(session));
    this.#underWay.set(session, work);
    return await this.#releasing.add(session, work);
  }

  /** Hibernates a session because its owner asks for it. @throws GloveboxError as `Sessions.hibernate` does */
  async hibernateNow(session: Session): Promise<void> {
    if (session.isHibernated) return;
    const outcome = session.lifetime.inUse ? 'used' : await this.hibernate(session, { force: true });
    if (outcome === 'used') throw new GloveboxError('session_busy', `The session ${session.id} is in use.`);
    if (outcome !== 'unreadable') return;
    const message = `The session ${session.id} has files that cannot be read, so no archive has all.`;
    throw new GloveboxError('session_busy', message);
  }

  async #hibernateInTurn(session: Session, force: boolean): Promise<void> {
    this.#notBefore.set(session, Number.POSITIVE_INFINITY);
    let outcome: HibernationOutcome | 'failed' = 'used';
    try {
      using _place = await this.#archives.hibernating.enter();
      if (!session.lifetime.inUse) outcome = await this.hibernate(session, { force });
    } catch {
      outcome = 'failed';
    }
    this.#notBefore.set(session, outcome === 'hibernated' || outcome === 'used' ? 0 : Date.now() + RETRY_MS);
  }

  async #hibernate(session: Session, force: boolean): Promise<HibernationOutcome> {
    const about = { session: session.id, owner: session.owner };
    const hibernating = traceSession('glovebox.session.hibernate', session, async (span) => {
      const outcome = await session.hibernate({ force });
      span?.set({ 'glovebox.session.outcome': outcome });
      return outcome;
    });
    const outcome = await hibernating.catch((error: unknown): HibernationOutcome => {
      this.#log.warn('a session could not be hibernated', { ...about, error });
      // Its container disappeared meanwhile, so the session consists of its last checkpoint.
      if (session.isHibernated) return 'hibernated';
      throw error;
    });
    const { record } = session;
    // A call may have woken it while its sandbox was being removed.
    if (outcome === 'hibernated' && session.isHibernated && record)
      this.#log.info('hibernated a session', { ...about, bytes: record.bytes });
    return outcome;
  }
}
