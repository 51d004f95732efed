import { capacityExceeded, type GloveboxError } from '../errors.ts';
import { Pace } from './pace.ts';
import { type EnterOptions, waitForTurn } from './turn.ts';

export interface FairLimits {
  /** Of all owners together. */
  readonly places: number;
  readonly placesPerOwner: number;
  readonly waitingPerOwner: number;
}

interface Share {
  running: number;
  readonly pace: Pace;
  /** In order of arrival. */
  readonly waiting: Set<() => void>;
}

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
    const share = this.#shares.get(owner) ?? { running: 0, pace: new Pace(), waiting: new Set() };
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
    const { pace, running } = this.#shares.get(owner) ?? { pace: new Pace(), running: 0 };
    return pace.retryAfterS(running);
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
    share.pace.note(heldMs);
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

  async #wait(owner: string, share: Share, options: EnterOptions): Promise<void> {
    if (share.waiting.size >= this.#limits.waitingPerOwner) throw this.#full(owner, share, 'as many wait as may');
    this.#shares.set(owner, share);
    if (!this.#turns.has(owner)) this.#turns.set(owner, share);
    try {
      await waitForTurn(share.waiting, options, () => this.#full(owner, share, 'none ended in time'));
    } catch (reason) {
      if (share.waiting.size === 0) this.#turns.delete(owner);
      this.#forgetUnused(owner, share);
      throw reason;
    }
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
