import type { ArchiveSettings } from '../archives/settings.ts';
import type { Log } from '../log.ts';
import type { ReleasingSessions } from './releasing.ts';
import type { Session } from './session.ts';

/** After an attempt that failed. */
const RETRY_MS = 5 * 60_000;

type Outcome = Awaited<ReturnType<Session['hibernate']>>;

/** Puts sessions to rest, and says which have come to their end. */
export class Hibernation {
  readonly #archives: ArchiveSettings;
  readonly #releasing: ReleasingSessions;
  readonly #log: Log;
  /** Sessions that are being put to rest. */
  readonly #underWay = new Map<Session, Promise<Outcome>>();
  /** Sessions that wait for their turn, or are not to be tried before a time. */
  readonly #notBefore = new WeakMap<Session, number>();

  constructor(archives: ArchiveSettings, departures: ReleasingSessions, log: Log) {
    this.#archives = archives;
    this.#releasing = departures;
    this.#log = log;
  }

  /** Whether sessions become archives at all. */
  get enabled(): boolean {
    return this.#archives.hibernates;
  }

  /**
   * Looks at a session, over and over. One that has state in memory stays awake for its idle time; after that it loses
   * the state, not its files, unless it cannot be archived.
   * @param isOld whether its lifetime has ended
   */
  look(session: Session, isOld: boolean): 'goes on' | 'ended' {
    const { lifetime } = session;
    if (lifetime.inUse) return 'goes on';
    const isOver = lifetime.expiresAt.getTime() <= Date.now();
    if (isOver && (session.atRest || isOld || !this.enabled)) return 'ended';
    if (session.atRest || !this.enabled) return 'goes on';
    const isIdle = lifetime.lastUsedAt.getTime() + this.#archives.limits.hibernateAfterS * 1000 <= Date.now();
    if (!isOver && !(isIdle && session.contexts.names.length === 0)) return 'goes on';
    const notBefore = this.#notBefore.get(session) ?? 0;
    if (notBefore > Date.now()) return isOver && notBefore !== Number.POSITIVE_INFINITY ? 'ended' : 'goes on';
    void this.#restInTurn(session, isOver);
    return 'goes on';
  }

  /**
   * Puts a session to rest now, or waits for that where it is under way already.
   * @param force even if something is lost by that, of which its next result tells
   * @throws what `Session.hibernate` throws; the session stays awake
   */
  async rest(session: Session, { force }: { readonly force: boolean }): Promise<Outcome> {
    const underWay = this.#underWay.get(session);
    if (underWay !== undefined) return await underWay;
    const work = this.#rest(session, force).finally(() => this.#underWay.delete(session));
    this.#underWay.set(session, work);
    return await this.#releasing.add(session, work);
  }

  async #restInTurn(session: Session, force: boolean): Promise<void> {
    this.#notBefore.set(session, Number.POSITIVE_INFINITY);
    let outcome: Outcome | 'failed' = 'used';
    try {
      using _place = await this.#archives.resting.enter();
      if (!session.lifetime.inUse) outcome = await this.rest(session, { force });
    } catch {
      outcome = 'failed';
    }
    this.#notBefore.set(session, outcome === 'rests' || outcome === 'used' ? 0 : Date.now() + RETRY_MS);
  }

  async #rest(session: Session, force: boolean): Promise<Outcome> {
    const about = { session: session.id, owner: session.owner };
    const outcome = await session.hibernate({ force }).catch((error: unknown): Outcome => {
      this.#log.warn('a session could not be put to rest', { ...about, error });
      // Its container went meanwhile, and the last checkpoint is what there is of it.
      if (session.atRest) return 'rests';
      throw error;
    });
    const { record } = session;
    // A call may have woken it while its sandbox was being removed.
    if (outcome === 'rests' && session.atRest && record) {
      this.#log.info('put a session to rest', { ...about, bytes: record.bytes });
    }
    return outcome;
  }
}
