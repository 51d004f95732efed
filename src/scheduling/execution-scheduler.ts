import type { ExecutionRequest } from '../execution/request.ts';
import { traitsOf } from '../execution/request-kinds.ts';
import { type FairLimits, FairQueue } from './fair-queue.ts';
import type { EnterOptions } from './wait-for-turn.ts';

/** Executions of the whole server just now. */
export interface ExecutionFigures {
  readonly running: number;
  readonly waiting: number;
  readonly places: number;
}

/** Decides which executions of all sessions may run now. */
export class ExecutionScheduler {
  readonly #queue: FairQueue;

  constructor(limits: FairLimits) {
    this.#queue = new FairQueue(limits);
  }

  get figures(): ExecutionFigures {
    const { running, waiting, limits } = this.#queue;
    return { running, waiting, places: limits.places };
  }

  /**
   * Waits for one of the places that all sessions share. Work with files and lists of packages needs none.
   * @throws GloveboxError `capacity_exceeded`; the signal's reason when it aborts.
   */
  async enter(owner: string, request: ExecutionRequest, options: EnterOptions): Promise<Disposable> {
    return traitsOf(request).takesPlace ? await this.#queue.enter(owner, options) : { [Symbol.dispose]: () => {} };
  }

  /** Seconds after which a place of the owner's is likely to be free. */
  retryAfterS(owner: string): number {
    return this.#queue.retryAfterS(owner);
  }
}
