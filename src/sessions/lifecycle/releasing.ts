import type { Session } from '../session.ts';

/** Sessions that are giving up their sandboxes, for whatever reason: who needs room waits for them first. */
export class ReleasingSessions {
  readonly #byOwner = new Map<string, Map<Session, Promise<void>>>();

  /** How many of the owner's there are. */
  count(owner: string): number {
    return this.#byOwner.get(owner)?.size ?? 0;
  }

  has(session: Session): boolean {
    return this.#byOwner.get(session.owner)?.has(session) ?? false;
  }

  /** Settles when one of the owner's has left, or could not; undefined if there is none. */
  next(owner: string): Promise<void> | undefined {
    const leaving = this.#byOwner.get(owner);
    return leaving && Promise.race(leaving.values());
  }

  /** Counts a session until that has settled, and returns it. */
  add<T>(session: Session, leaving: Promise<T>): Promise<T> {
    const { owner } = session;
    const own = this.#byOwner.get(owner) ?? new Map<Session, Promise<void>>();
    const left = leaving
      .then(
        () => {},
        () => {},
      )
      .then(() => {
        if (own.get(session) !== left) return;
        own.delete(session);
        if (own.size === 0) this.#byOwner.delete(owner);
      });
    own.set(session, left);
    this.#byOwner.set(owner, own);
    return leaving;
  }
}
