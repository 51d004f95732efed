import { capacityExceeded, type GloveboxError } from '../errors.ts';

export interface FairLimits {
  /** Of all owners together. */
  readonly places: number;
  readonly placesPerOwner: number;
  readonly waitingPerOwner: number;
}

export interface EnterOptions {
  /** Ends the waiting. */
  readonly signal?: AbortSignal;
  /** How long to wait at most; without end if left out. */
  readonly patienceMs?: number;
  /** Hears, once, that there is a wait, and how many of the same owner are ahead. */
  readonly onWait?: (ahead: number) => void;
}

interface Share {
  running: number;
  /** Of late, how long a place was held; unknown before the first was given back. */
  meanMs: number | undefined;
  /** In order of arrival. */
  readonly waiting: Set<() => void>;
}

/** Weight of the newest of an owner's durations in their mean. */
const NEWEST = 0.25;
const MOST_RETRY_AFTER_S = 600;

/**
 * Places that owners share: a free one goes to each owner in turn, and within an owner to the call that came first.
 * An owner who has none waits for at most one turn of each other owner. Where no owner may have all places,
 * the last one is kept for owners who have none, so that one who fills the rest delays nobody else.
 */
export class FairQueue {
  readonly #limits: FairLimits;
  readonly #shares = new Map<string, Share>();
  /** Those that wait; whose turn it is comes first. */
  readonly #turns = new Map<string, Share>();
  readonly #kept: number;
  #running = 0;

  constructor(limits: FairLimits) {
    this.#limits = limits;
    this.#kept = limits.places > 1 && limits.placesPerOwner < limits.places ? 1 : 0;
  }

  get limits(): FairLimits {
    return this.#limits;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return [...this.#turns.values()].reduce((sum, { waiting }) => sum + waiting.size, 0);
  }

  /**
   * Waits for a place; dispose of it to give it back.
   * @throws GloveboxError `capacity_exceeded` when too many wait, or patience ends; the signal's reason when it aborts.
   */
  async enter(owner: string, options: EnterOptions = {}): Promise<Disposable> {
    options.signal?.throwIfAborted();
    const share = this.#shares.get(owner) ?? { running: 0, meanMs: undefined, waiting: new Set() };
    // Nobody is passed over: who waits may not enter now either.
    if (this.#mayEnter(share)) this.#admit(owner, share);
    else await this.#wait(owner, share, options);
    const since = performance.now();
    let given = true;
    return {
      [Symbol.dispose]: () => {
        if (given) this.#giveBack(owner, share, performance.now() - since);
        given = false;
      },
    };
  }

  /** Seconds after which a place of the owner's is likely to be free, by how long they were held of late. */
  retryAfterS(owner: string): number {
    const { meanMs = 0, running = 0 } = this.#shares.get(owner) ?? {};
    const seconds = Math.ceil(meanMs / 1000 / Math.max(1, running));
    return Math.min(MOST_RETRY_AFTER_S, Math.max(1, seconds));
  }

  #mayEnter({ running }: Share): boolean {
    const { places, placesPerOwner } = this.#limits;
    return running < placesPerOwner && this.#running < (running === 0 ? places : places - this.#kept);
  }

  #admit(owner: string, share: Share): void {
    share.running += 1;
    this.#running += 1;
    this.#shares.set(owner, share);
  }

  #giveBack(owner: string, share: Share, heldMs: number): void {
    share.running -= 1;
    this.#running -= 1;
    share.meanMs = share.meanMs === undefined ? heldMs : share.meanMs + NEWEST * (heldMs - share.meanMs);
    this.#forgetUnused(owner, share);
    // Two, where the one who gave back has none now and so may have the place that is kept.
    while (this.#admitNext());
  }

  #admitNext(): boolean {
    for (const [owner, share] of this.#turns) {
      const [next] = share.waiting;
      if (!next || !this.#mayEnter(share)) continue;
      share.waiting.delete(next);
      this.#turns.delete(owner);
      if (share.waiting.size > 0) this.#turns.set(owner, share);
      this.#admit(owner, share);
      next();
      return true;
    }
    return false;
  }

  #wait(owner: string, share: Share, { signal, patienceMs, onWait }: EnterOptions): Promise<void> {
    if (share.waiting.size >= this.#limits.waitingPerOwner) throw this.#full(owner, share, 'as many wait as may');
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const leave = (reason: unknown) => {
      share.waiting.delete(resolve);
      if (share.waiting.size === 0) this.#turns.delete(owner);
      this.#forgetUnused(owner, share);
      reject(reason);
    };
    const onAbort = () => leave(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    const timer =
      patienceMs === undefined
        ? undefined
        : setTimeout(() => leave(this.#full(owner, share, 'none ended in time')), patienceMs);
    share.waiting.add(resolve);
    this.#shares.set(owner, share);
    if (!this.#turns.has(owner)) this.#turns.set(owner, share);
    onWait?.(share.waiting.size - 1);
    return promise.finally(() => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    });
  }

  #full(owner: string, { running }: Share, why: string): GloveboxError {
    const { places, placesPerOwner } = this.#limits;
    const limit =
      running >= placesPerOwner
        ? `One owner may run ${placesPerOwner} executions at once here`
        : `This server runs ${places} executions at once`;
    return capacityExceeded(`${limit}, and ${why}.`, this.retryAfterS(owner));
  }

  #forgetUnused(owner: string, share: Share): void {
    if (share.running === 0 && share.waiting.size === 0) this.#shares.delete(owner);
  }
}
