import { capacityExceeded, type GloveboxError } from '../errors.ts';
import { MeanHoldTime } from './hold-time.ts';
import { type EnterOptions, waitForTurn } from './wait-for-turn.ts';

/** Age from which an execution no longer counts as new, in milliseconds. Its owner may then begin another one. */
const FRESH_MS = 5_000;
/** Time after which an owner without a call counts as absent, in milliseconds. */
const PRESENT_MS = 10_000;

export interface FairLimits {
  /** Number of places of all owners together. */
  readonly places: number;
  /** Number of places that one owner may hold. */
  readonly placesPerOwner: number;
  /**
   * Number of places that one owner may hold with executions younger than five seconds. It applies only while other
   * owners are present. Default: all places of the owner.
   */
  readonly freshPerOwner?: number;
  /** Number of calls of one owner that may wait. */
  readonly waitingPerOwner: number;
}

/** State of one owner. */
interface Share {
  running: number;
  /** Number of running executions that are new, see `FRESH_MS`. */
  fresh: number;
  /** Timer that forgets an absent owner. */
  leaving?: NodeJS.Timeout;
  readonly holdTime: MeanHoldTime;
  /** Waiting calls, in order of arrival. */
  readonly waiting: Set<() => void>;
}

/**
 * Places that owners share. A free place goes to each owner in turn; within an owner, the oldest call comes first.
 * An owner who holds no place waits for at most one turn of each other owner.
 *
 * If no owner may hold all places, the last place is reserved for owners who hold none. So an owner who fills the rest
 * delays nobody else. While other owners are present, an owner may hold only a few places with new executions. So a
 * burst of calls leaves processors to the others.
 */
export class FairQueue {
  #limits: FairLimits;
  readonly #shares = new Map<string, Share>();
  /** Owners with waiting calls; the next one comes first. */
  readonly #turns = new Map<string, Share>();
  /** Number of places reserved for owners who hold none. */
  #reserved: number;
  #running = 0;

  constructor(limits: FairLimits) {
    this.#limits = limits;
    this.#reserved = reservedOf(limits);
  }

  /** Changes the limits. What holds a place keeps it. */
  set limits(limits: FairLimits) {
    this.#limits = limits;
    this.#reserved = reservedOf(limits);
    this.#admitAll();
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
   * Waits for a place. Dispose of the result to give it back.
   * @throws GloveboxError `capacity_exceeded` when too many wait or the wait takes too long; the signal's reason when
   *   it aborts
   */
  async enter(owner: string, options: EnterOptions = {}): Promise<Disposable> {
    options.signal?.throwIfAborted();
    const share = this.#shares.get(owner) ?? { running: 0, fresh: 0, holdTime: new MeanHoldTime(), waiting: new Set() };
    this.#markPresent(owner, share);
    // This overtakes nobody: a call that waits may not enter now either.
    if (this.#mayEnter(share)) this.#admit(share);
    else await this.#wait(owner, share, options);
    return this.#hold(owner, share);
  }

  /** Estimates, from recent hold times, the seconds until a place of the owner is free. */
  retryAfterS(owner: string): number {
    const { holdTime, running } = this.#shares.get(owner) ?? { holdTime: new MeanHoldTime(), running: 0 };
    return holdTime.retryAfterS(running);
  }

  #mayEnter(share: Share): boolean {
    const { places, placesPerOwner } = this.#limits;
    if (share.running >= placesPerOwner || this.#isFlood(share)) return false;
    return this.#running < (share.running === 0 ? places : places - this.#reserved);
  }

  #isFlood({ fresh }: Share): boolean {
    return fresh >= (this.#limits.freshPerOwner ?? Number.POSITIVE_INFINITY) && this.#shares.size > 1;
  }

  #admit(share: Share): void {
    share.running += 1;
    share.fresh += 1;
    this.#running += 1;
  }

  /** Makes the handle of a place that was taken. Disposing of it gives the place back; doing so again has no effect. */
  #hold(owner: string, share: Share): Disposable {
    const since = performance.now();
    let [given, fresh] = [true, true];
    const age = () => {
      if (fresh) share.fresh -= 1;
      fresh = false;
    };
    const timer = setTimeout(() => {
      age();
      this.#admitAll();
    }, FRESH_MS);
    timer.unref();
    return {
      [Symbol.dispose]: () => {
        if (!given) return;
        given = false;
        clearTimeout(timer);
        age();
        share.running -= 1;
        this.#running -= 1;
        share.holdTime.add(performance.now() - since);
        this.#dismissUnused(owner, share);
        this.#admitAll();
      },
    };
  }

  /**
   * Admits every waiting call that may enter now. That can be several: an owner who gave back a last place may take the
   * reserved one as well, and the end of a burst frees all of an owner's calls.
   */
  #admitAll(): void {
    while (this.#admitNext());
  }

  #admitNext(): boolean {
    for (const [owner, share] of this.#turns) {
      const [next] = share.waiting;
      if (!next || !this.#mayEnter(share)) continue;
      share.waiting.delete(next);
      this.#turns.delete(owner);
      if (share.waiting.size > 0) this.#turns.set(owner, share);
      this.#admit(share);
      next();
      return true;
    }
    return false;
  }

  async #wait(owner: string, share: Share, options: EnterOptions): Promise<void> {
    try {
      if (share.waiting.size >= this.#limits.waitingPerOwner) throw this.#full(owner, share, 'the queue is full');
      if (!this.#turns.has(owner)) this.#turns.set(owner, share);
      await waitForTurn(share.waiting, options, () => this.#full(owner, share, 'none ended in time'));
    } catch (reason) {
      if (share.waiting.size === 0) this.#turns.delete(owner);
      this.#dismissUnused(owner, share);
      throw reason;
    }
  }

  #full(owner: string, share: Share, why: string): GloveboxError {
    const { places, placesPerOwner, freshPerOwner } = this.#limits;
    let limit = `This server runs ${places} executions at once`;
    if (share.running >= placesPerOwner) limit = `One owner may run ${placesPerOwner} executions at once here`;
    else if (this.#isFlood(share)) limit = `While others run theirs, one owner may begin ${freshPerOwner} at once here`;
    return capacityExceeded(`${limit}, and ${why}.`, this.retryAfterS(owner));
  }

  /** Records that an owner is present. */
  #markPresent(owner: string, share: Share): void {
    clearTimeout(share.leaving);
    this.#shares.set(owner, share);
  }

  /** Forgets an owner without calls, after a while: an owner who calls again and again stays present. */
  #dismissUnused(owner: string, share: Share): void {
    if (share.running > 0 || share.waiting.size > 0) return;
    clearTimeout(share.leaving);
    share.leaving = setTimeout(() => {
      this.#shares.delete(owner);
      this.#admitAll();
    }, PRESENT_MS);
    share.leaving.unref();
  }
}

function reservedOf({ places, placesPerOwner }: FairLimits): number {
  return places > 1 && placesPerOwner < places ? 1 : 0;
}
