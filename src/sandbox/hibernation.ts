import type { Log } from '../log.ts';
import type { Archives } from './archives.ts';
import type { Session } from './session.ts';

/** After an attempt that failed. */
const RETRY_MS = 5 * 60_000;

/** Puts sessions to rest that nobody uses, and says which have come to their end. */
export class Hibernation {
  readonly #archives: Archives;
  readonly #log: Log;
  /** Sessions that are being put to rest, or are not to be tried before a time. */
  readonly #notBefore = new WeakMap<Session, number>();

  constructor(archives: Archives, log: Log) {
    this.#archives = archives;
    this.#log = log;
  }

  /**
   * Looks at a session, over and over. One that has state in memory stays awake for its idle time; after that it loses
   * the state, not its files, unless it cannot be archived.
   * @param isOld whether its lifetime has ended
   */
  look(session: Session, isOld: boolean): 'goes on' | 'ended' {
    if (session.uses > 0) return 'goes on';
    const isOver = session.expiresAt.getTime() <= Date.now();
    if (isOver && (session.atRest || isOld || !this.#archives.hibernates)) return 'ended';
    if (session.atRest || !this.#archives.hibernates) return 'goes on';
    const isIdle = session.lastUsedAt.getTime() + this.#archives.limits.hibernateAfterS * 1000 <= Date.now();
    if (!isOver && !(isIdle && session.contexts.names.length === 0)) return 'goes on';
    const notBefore = this.#notBefore.get(session) ?? 0;
    if (notBefore > Date.now()) return isOver && notBefore !== Number.POSITIVE_INFINITY ? 'ended' : 'goes on';
    void this.#putToRest(session, isOver);
    return 'goes on';
  }

  async #putToRest(session: Session, force: boolean): Promise<void> {
    this.#notBefore.set(session, Number.POSITIVE_INFINITY);
    const about = { session: session.id, owner: session.owner };
    let outcome: Awaited<ReturnType<Session['hibernate']>> | 'failed' = 'used';
    try {
      using _place = await this.#archives.resting.enter();
      if (session.uses === 0) outcome = await session.hibernate({ force });
    } catch (error) {
      outcome = session.atRest ? 'rests' : 'failed';
      this.#log.warn('a session could not be put to rest', { ...about, error });
    }
    const { record } = session;
    if (outcome === 'rests' && record) {
      session.expiresAt = this.#archives.expiryOf(record);
      this.#log.info('put a session to rest', { ...about, bytes: record.bytes });
    }
    this.#notBefore.set(session, outcome === 'rests' || outcome === 'used' ? 0 : Date.now() + RETRY_MS);
  }
}
