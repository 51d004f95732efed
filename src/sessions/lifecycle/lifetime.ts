/** Longest lifetimes of sessions. */
export interface LifetimeLimits {
  /** Seconds since the last use. */
  readonly idleTtlS: number;
  /** Seconds since the session was created or last woken. */
  readonly maxLifetimeS: number;
}

/** Lifetime of a session. While a call holds the session, it neither expires nor makes room for another. */
export class Lifetime {
  readonly #limits: LifetimeLimits;
  readonly #archiveExpiry: () => Date | undefined;
  #uses = 0;
  #lastUsedAt: Date;
  #expiresAt: Date;
  #wokenAt: Date;

  /** @param archiveExpiry returns when the archive of a hibernated session expires; undefined if it has a sandbox */
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

  /** Time when it got its sandbox. The lifetime starts again when the session is restored from its archive. */
  get wokenAt(): Date {
    return this.#wokenAt;
  }

  /** Whether it has reached the longest lifetime of a session with a sandbox. */
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

  /** Records a use. Idle time counts from then on. */
  touch(at = new Date()): void {
    this.#lastUsedAt = at;
    const idleUntil = at.getTime() + this.#limits.idleTtlS * 1000;
    this.#expiresAt = this.#archiveExpiry() ?? new Date(Math.min(idleUntil, this.#end().getTime()));
  }

  /** Returns a function that tells whether the session was used since now, or is in use. */
  watch(): () => boolean {
    const lastUsedAt = this.#lastUsedAt;
    return () => this.inUse || this.#lastUsedAt !== lastUsedAt;
  }

  /** Starts the lifetime again. @param at time of the start, for a session of an earlier control plane */
  wake(at = new Date()): void {
    this.#wokenAt = at;
  }

  /** Extends the lifetime to that of the archive, of which the session now consists. */
  hibernate(): void {
    this.#expiresAt = this.#archiveExpiry() ?? this.#expiresAt;
  }

  /** Shortens the lifetime to a time, unless the session is used again. */
  cutTo(end: Date): void {
    if (end < this.#expiresAt) this.#expiresAt = end;
  }

  #end(): Date {
    return new Date(this.#wokenAt.getTime() + this.#limits.maxLifetimeS * 1000);
  }
}
