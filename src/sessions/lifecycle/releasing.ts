import type { Session } from '../session.ts';

/** Sessions that are releasing their sandboxes. Calls that need room wait for them first. */
export class ReleasingSessions {
  readonly #byOwner = new Map<string, Map<Session, Promise<void>>>();

  /** Counts the owner's releasing sessions. */
  count(owner: string): number {
    return this.#byOwner.get(owner)?.size ?? 0;
  }

  has(session: Session): boolean {
    return this.#byOwner.get(session.owner)?.has(session) ?? false;
  }

  /** Returns a promise for the next release of the owner, successful or not. Undefined if there is none. */
  next(owner: string): Promise<void> | undefined {
    const leaving = this.#byOwner.get(owner);
    return leaving && Promise.race(leaving.values());
  }

  /** Counts a session until the promise has settled. Returns the promise. */
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
