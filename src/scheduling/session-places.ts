import { type ExecutionOptions, type ExecutionRequest, patienceFor } from '../execution/request.ts';
import { traitsOf } from '../execution/request-kinds.ts';
import { Disposables } from '../lib/disposables.ts';
import type { ExecutionScheduler } from './execution-scheduler.ts';
import { Limiter } from './limiter.ts';
import { TransferLimiter } from './transfer-limiter.ts';
import type { EnterOptions } from './wait-for-turn.ts';

/** Calls of one session that may wait for a place of one sort. */
export const SESSION_QUEUE_LIMIT = 32;
/** Looks at a session's files at once, and lists of its packages. */
const LOOKUPS = 4;
/** Files that are on their way in or out of a session at once. */
const TRANSFERS = 8;

export interface SessionPlacesOptions {
  readonly owner: string;
  /** Executions of the session at once. */
  readonly concurrency: number;
  readonly scheduler: Pick<ExecutionScheduler, 'enter'>;
  /** Waits for a call's turn in one of the session's contexts. */
  readonly enterContext: (name: string, options: EnterOptions) => Promise<Disposable>;
}

/** Decides which executions of one session may run now. */
export class SessionPlaces {
  readonly #options: SessionPlacesOptions;
  readonly #executions: Limiter;
  /** Apart, so that a session can be looked at while all places are taken. */
  readonly #lookups = new Limiter(LOOKUPS, SESSION_QUEUE_LIMIT);
  readonly #transfers = new TransferLimiter(TRANSFERS, SESSION_QUEUE_LIMIT);

  constructor(options: SessionPlacesOptions) {
    this.#options = options;
    this.#executions = new Limiter(options.concurrency, SESSION_QUEUE_LIMIT);
  }

  /** Executions under way. */
  get running(): number {
    return this.#executions.running;
  }

  /**
   * Waits until an execution may run. First comes the context's turn, then one of the session's places, then one that all
   * sessions share: who waits for the one does not hold those after it. Patience is for all three together.
   * @throws GloveboxError `session_busy` when too many wait, `capacity_exceeded` when patience ends; the signal's reason
   */
  async enter(
    request: ExecutionRequest,
    options: Pick<ExecutionOptions, 'timeoutMs' | 'signal' | 'onWait' | 'transfer'>,
  ): Promise<Disposable> {
    const { owner, scheduler, enterContext } = this.#options;
    const { context } = request;
    const { transfer } = options;
    const deadline = performance.now() + patienceFor(options);
    const waiting = (what: string): EnterOptions => ({
      signal: options.signal,
      patienceMs: deadline - performance.now(),
      onWait: (ahead) => options.onWait?.(`Waiting for ${what}; ${ahead} of your calls are ahead.`),
    });
    using stack = new Disposables();
    if (context !== undefined) stack.use(await enterContext(context, waiting(`the context ${context}`)));
    const limiter = traitsOf(request).isLookup ? this.#lookups : this.#executions;
    const place = waiting('a place in this session');
    stack.use(await (transfer ? this.#transfers.enter(transfer, place) : limiter.enter(place)));
    stack.use(await scheduler.enter(owner, request, waiting('a place to run')));
    return stack.move();
  }
}
