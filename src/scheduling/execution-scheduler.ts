import type { ExecutionRequest } from '../execution/request.ts';
import { rulesFor } from '../execution/request-kinds.ts';
import { type FairLimits, FairQueue } from './fair-queue.ts';
import type { EnterOptions } from './wait-for-turn.ts';

/** Current number of executions of the whole server. */
export interface ExecutionFigures {
  readonly running: number;
  readonly waiting: number;
  readonly places: number;
}

/** Decides which executions of all sessions may run now. */
export class ExecutionScheduler {
  readonly #queue: FairQueue;
  readonly #limits: FairLimits;
  #begun = 0;

  constructor(limits: FairLimits) {
    this.#limits = limits;
    this.#queue = new FairQueue(limits);
  }

  /**
   * Gives so many control planes an equal part of the places each. To count them exactly would cost each call a request.
   * Nobody has less than one place.
   */
  shareBetween(members: number): void {
    const { places, placesPerOwner, freshPerOwner, waitingPerOwner } = this.#limits;
    const part = (whole: number) => Math.max(1, Math.ceil(whole / members));
    this.#queue.limits = {
      ...{ places: part(places), placesPerOwner: part(placesPerOwner), waitingPerOwner: part(waitingPerOwner) },
      ...(freshPerOwner === undefined ? {} : { freshPerOwner: part(freshPerOwner) }),
    };
  }

  get figures(): ExecutionFigures {
    const { running, waiting, limits } = this.#queue;
    return { running, waiting, places: limits.places };
  }

  /** Number of executions that have had a place so far. */
  get begun(): number {
    return this.#begun;
  }

  /**
   * Waits for one of the places that all sessions share. File operations and package lists need none.
   * @throws GloveboxError `capacity_exceeded`; the signal's reason when it aborts
   */
  async enter(owner: string, request: ExecutionRequest, options: EnterOptions): Promise<Disposable> {
    if (!rulesFor(request).takesPlace) return { [Symbol.dispose]: () => {} };
    const place = await this.#queue.enter(owner, options);
    this.#begun += 1;
    return place;
  }

  /** Estimates the seconds until a place of the owner is free. */
  retryAfterS(owner: string): number {
    return this.#queue.retryAfterS(owner);
  }
}
