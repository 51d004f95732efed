import { capacityExceeded, type GloveboxError } from '../errors.ts';
import { MeanHoldTime } from './hold-time.ts';
import { type EnterOptions, waitForTurn } from './wait-for-turn.ts';

/** An execution that has run for so long is no part of a flood: its owner may begin another. */
const FRESH_MS = 5_000;
/** An owner who has done nothing for so long is not there. */
const ABOUT_MS = 10_000;

export interface FairLimits {
  /** Places of all owners together. */
  readonly places: number;
  readonly placesPerOwner: number;
  /** Those of an owner's places that may be taken within five seconds while other owners are about; all by default. */
  readonly freshPerOwner?: number;
  readonly waitingPerOwner: number;
}

interface Share {
  running: number;
  fresh: number;
  leaving?: NodeJS.Timeout;
  readonly pace: MeanHoldTime;
  /** In order of arrival. */
  readonly waiting: Set<() => void>;
}

/**
 * Places that owners share: a free one goes to each owner in turn, and within an owner to the call that came first.
 * An owner who has none waits for at most one turn of each other owner. Where no owner may have all places,
 * the last one is kept for owners who have none, so that one who fills the rest delays nobody else. While others are
 * about, an owner takes new ones only as long as few of theirs are fresh, so that a flood leaves processors to them.
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
    const share = this.#shares.get(owner) ?? { running: 0, fresh: 0, pace: new MeanHoldTime(), waiting: new Set() };
    this.#greet(owner, share);
    // Nobody is passed over: who waits may not enter now either.
    if (this.#mayEnter(share)) this.#admit(share);
    else await this.#wait(owner, share, options);
    return this.#hold(owner, share);
  }

  /** Seconds after which a place of the owner's is likely to be free, by how long they were held of late. */
  retryAfterS(owner: string): number {
    const { pace, running } = this.#shares.get(owner) ?? { pace: new MeanHoldTime(), running: 0 };
    return pace.retryAfterS(running);
  }

  #mayEnter(share: Share): boolean {
    const { places, placesPerOwner } = this.#limits;
    if (share.running >= placesPerOwner || this.#isFlood(share)) return false;
    return this.#running < (share.running === 0 ? places : places - this.#kept);
  }

  #isFlood({ fresh }: Share): boolean {
    return fresh >= (this.#limits.freshPerOwner ?? Number.POSITIVE_INFINITY) && this.#shares.size > 1;
  }

  #admit(share: Share): void {
    share.running += 1;
    share.fresh += 1;
    this.#running += 1;
  }

  /** A place that was taken; dispose of it once or more to give it back. */
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
        share.pace.add(performance.now() - since);
        this.#dismissUnused(owner, share);
        this.#admitAll();
      },
    };
  }

  /** Two at once, where one who gave back has none now and so may have the place that is kept; all who a flood held up. */
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
      if (share.waiting.size >= this.#limits.waitingPerOwner) throw this.#full(owner, share, 'as many wait as may');
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

  #greet(owner: string, share: Share): void {
    clearTimeout(share.leaving);
    this.#shares.set(owner, share);
  }

  /** Not at once: who calls again and again is about all the time. */
  #dismissUnused(owner: string, share: Share): void {
    if (share.running > 0 || share.waiting.size > 0) return;
    clearTimeout(share.leaving);
    share.leaving = setTimeout(() => {
      this.#shares.delete(owner);
      this.#admitAll();
    }, ABOUT_MS);
    share.leaving.unref();
  }
}
