import type { Session } from '../session.ts';

/** Number of sessions adopted at once while nobody waits for one. More would make a call that comes meanwhile wait longer. */
const AT_ONCE = 4;
/** Pause after an attempt that failed because the engine did not answer, in milliseconds. */
const RETRY_MS = 1000;

/** Adopts a session. Rejects when the engine does not answer, so that it can be tried again. */
export type Adopt = () => Promise<void>;

/** Sessions of an earlier control plane whose sandboxes are still to be adopted: in turn, or at once for a call. */
export class Adoptions {
  /** Resolves when all are adopted, or when there will be no more attempts. */
  readonly settled: Promise<void>;
  /** Resolves as `settled` does. Rejects with the first failure. */
  readonly undisturbed: Promise<void>;
  readonly #settled = Promise.withResolvers<void>();
  readonly #disturbed = Promise.withResolvers<void>();
  readonly #waiting = new Map<Session, Adopt>();
  readonly #underWay = new Map<Session, Promise<void>>();
  #pause: NodeJS.Timeout | undefined;
  #begun = false;
  /** Whether sessions may be added at any time, because other control planes stop or die. */
  #goesOn = false;

  constructor() {
    this.settled = this.#settled.promise;
    this.undisturbed = Promise.race([this.settled, this.#disturbed.promise]);
    this.undisturbed.catch(() => {});
  }

  /** Number of sessions that are not adopted yet. */
  get left(): number {
    return this.#waiting.size + this.#underWay.size;
  }

  /** Whether a session is still to be adopted. */
  has(session: Session): boolean {
    return this.#waiting.has(session) || this.#underWay.has(session);
  }

  add(session: Session, adopt: Adopt): void {
    this.#waiting.set(session, adopt);
    if (this.#goesOn) this.#proceed();
  }

  /** Adopts sessions whenever they are added, until `end`. */
  goOn(): void {
    this.#goesOn = true;
    this.begin();
  }

  /** Begins to adopt all sessions, the latest used first. */
  begin(): void {
    this.#begun = true;
    const byUse = [...this.#waiting].sort(([a], [b]) => lastUse(b) - lastUse(a));
    this.#waiting.clear();
    for (const [session, adopt] of byUse) this.#waiting.set(session, adopt);
    this.#proceed();
  }

  /**
   * Adopts a session before all others, unless it is adopted already. Also resolves when there are no more attempts.
   * @throws GloveboxError `engine_unavailable`; then it is tried again later
   */
  async now(session: Session): Promise<void> {
    await Promise.race([this.#underWay.get(session) ?? this.#adopt(session), this.settled]);
  }

  /** Adopts the owner's session that was not used for the longest time. Undefined if all are adopted. */
  oldestOf(owner: string): Promise<void> | undefined {
    const own = [...this.#waiting.keys(), ...this.#underWay.keys()].filter((session) => session.owner === owner);
    const oldest = own.sort((a, b) => lastUse(a) - lastUse(b))[0];
    return oldest && this.now(oldest);
  }

  /** Makes no more attempts. Returns the sessions that are not adopted. */
  end(): ReadonlySet<Session> {
    const left = new Set([...this.#waiting.keys(), ...this.#underWay.keys()]);
    clearTimeout(this.#pause);
    this.#waiting.clear();
    this.#settled.resolve();
    return left;
  }

  #adopt(session: Session): Promise<void> | undefined {
    const adopt = this.#waiting.get(session);
    if (!adopt) return undefined;
    this.#waiting.delete(session);
    const work = this.#run(session, adopt);
    this.#underWay.set(session, work);
    return work;
  }

  async #run(session: Session, adopt: Adopt): Promise<void> {
    try {
      await adopt();
    } catch (error) {
      this.#disturbed.reject(error);
      this.#waiting.set(session, adopt);
      this.#pause ??= setTimeout(() => {
        this.#pause = undefined;
        this.#proceed();
      }, RETRY_MS).unref();
      throw error;
    } finally {
      this.#underWay.delete(session);
      this.#proceed();
    }
  }

  #proceed(): void {
    if (!this.#begun) return;
    if (this.left === 0 && !this.#goesOn) this.#settled.resolve();
    for (const session of this.#waiting.keys()) {
      if (this.#underWay.size >= AT_ONCE || this.#pause) return;
      // Whoever waits for it is told of the failure.
      this.#adopt(session)?.catch(() => {});
    }
  }
}

function lastUse({ lifetime }: Session): number {
  return lifetime.lastUsedAt.getTime();
}
