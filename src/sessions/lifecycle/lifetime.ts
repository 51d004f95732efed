/** Longest times of sessions. */
export interface LifetimeLimits {
  /** Seconds from the last use on. */
  readonly idleTtlS: number;
  /** Seconds in all, from the creation or the last waking on. */
  readonly maxLifetimeS: number;
}

/** The times of a session, and whether it is in use: it ends neither by age nor for room while a call holds it. */
export class Lifetime {
  readonly #limits: LifetimeLimits;
  readonly #archiveExpiry: () => Date | undefined;
  #uses = 0;
  #lastUsedAt: Date;
  #expiresAt: Date;
  #wokenAt: Date;

  /** @param archiveExpiry when the archive of a hibernated session ends; undefined while the session has a sandbox */
  constructor(createdAt: Date, limits: LifetimeLimits, archiveExpiry: () => Date | undefined) {
    this.#limits = limits;
    this.#archiveExpiry = archiveExpiry;
    this.#lastUsedAt = createdAt;
    this.#expiresAt = createdAt;
    this.#wokenAt = createdAt;
  }

  /** Whether calls hold the session open. */
  get inUse(): boolean {
    return this.#uses > 0;
  }

  get lastUsedAt(): Date {
    return this.#lastUsedAt;
  }

  get expiresAt(): Date {
    return this.#expiresAt;
  }

  /** When its sandbox became the session's: its lifetime begins anew when it comes back from its archive. */
  get wokenAt(): Date {
    return this.#wokenAt;
  }

  /** Whether it has lasted as long as a session may that has a sandbox. */
  get isOver(): boolean {
    return this.#end().getTime() <= Date.now();
  }

  /** Holds the session open until disposed of. */
  hold(): Disposable {
    this.#uses += 1;
    return {
      [Symbol.dispose]: () => {
        this.#uses -= 1;
      },
    };
  }

  /** Takes note of a use: idle time counts from then on. */
  touch(at = new Date()): void {
    this.#lastUsedAt = at;
    const idleUntil = at.getTime() + this.#limits.idleTtlS * 1000;
    this.#expiresAt = this.#archiveExpiry() ?? new Date(Math.min(idleUntil, this.#end().getTime()));
  }

  /** Looks for uses from now on; the answer tells whether there was any, or is one. */
  watch(): () => boolean {
    const lastUsedAt = this.#lastUsedAt;
    return () => this.inUse || this.#lastUsedAt !== lastUsedAt;
  }

  /** Begins a lifetime anew. @param at when that was, for a session of an earlier control plane */
  wake(at = new Date()): void {
    this.#wokenAt = at;
  }

  /** Lets it last as long as its archive, since that is all there is of the session from now on. */
  hibernate(): void {
    this.#expiresAt = this.#archiveExpiry() ?? this.#expiresAt;
  }

  /** Ends it at that time, if it would last longer, unless it is used again. */
  cutTo(end: Date): void {
    if (end < this.#expiresAt) this.#expiresAt = end;
  }

  #end(): Date {
    return new Date(this.#wokenAt.getTime() + this.#limits.maxLifetimeS * 1000);
  }
}
