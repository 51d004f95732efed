import { type ExecutionOptions, type ExecutionRequest, patienceFor } from '../execution/request.ts';
import { rulesFor } from '../execution/request-kinds.ts';
import { Disposables } from '../lib/disposables.ts';
import { type Span, startSpan } from '../telemetry/trace.ts';
import type { ExecutionScheduler } from './execution-scheduler.ts';
import { Limiter } from './limiter.ts';
import { TransferLimiter } from './transfer-limiter.ts';
import type { EnterOptions } from './wait-for-turn.ts';

/** Number of calls of one session that may wait for a place of one sort. */
export const SESSION_QUEUE_LIMIT = 32;
/** Number of file operations and package lists of a session at once. */
const QUICK_REQUESTS = 4;
/** Number of files that a session sends or receives at once. */
const TRANSFERS = 8;

export interface SessionPlacesOptions {
  readonly owner: string;
  /** Number of executions of the session at once. */
  readonly concurrency: number;
  readonly scheduler: Pick<ExecutionScheduler, 'enter'>;
  /** Waits for a call's turn in one of the session's contexts. */
  readonly enterContext: (name: string, options: EnterOptions) => Promise<Disposable>;
}

/** Decides which executions of one session may run now. */
export class SessionPlaces {
  readonly #options: SessionPlacesOptions;
  readonly #executions: Limiter;
  /** Places of their own, so that files can be read while all other places are taken. */
  readonly #quickRequests = new Limiter(QUICK_REQUESTS, SESSION_QUEUE_LIMIT);
  readonly #transfers = new TransferLimiter(TRANSFERS, SESSION_QUEUE_LIMIT);

  constructor(options: SessionPlacesOptions) {
    this.#options = options;
    this.#executions = new Limiter(options.concurrency, SESSION_QUEUE_LIMIT);
  }

  /** Number of running executions. */
  get running(): number {
    return this.#executions.running;
  }

  /**
   * Waits until an execution may run: for its turn in the context, then for one of the session's places, then for one of
   * the places that all sessions share. In this order, a waiting call never holds a place that it cannot use yet. One
   * time limit applies to all three waits together.
   * @throws GloveboxError `session_busy` when too many wait, `capacity_exceeded` when the wait takes too long; the
   *   signal's reason when it aborts
   */
  async enter(
    request: ExecutionRequest,
    options: Pick<ExecutionOptions, 'timeoutMs' | 'signal' | 'onWait' | 'transfer'>,
  ): Promise<Disposable> {
    const { owner, scheduler, enterContext } = this.#options;
    const { context } = request;
    const { transfer } = options;
    const deadline = performance.now() + patienceFor(options);
    let queued: Span | undefined;
    const waiting = (what: string): EnterOptions => ({
      signal: options.signal,
      patienceMs: deadline - performance.now(),
      onWait: (ahead) => {
        queued ??= startSpan('glovebox.queue');
        options.onWait?.(`Waiting for ${what}; ${ahead} of your calls are ahead.`);
      },
    });
    const places = new Disposables();
    try {
      if (context !== undefined) places.use(await enterContext(context, waiting(`the context ${context}`)));
      const limiter = rulesFor(request).isQuick ? this.#quickRequests : this.#executions;
      const place = waiting('a place in this session');
      places.use(await (transfer ? this.#transfers.enter(transfer, place) : limiter.enter(place)));
      places.use(await scheduler.enter(owner, request, waiting('a place to run')));
      return places;
    } catch (error) {
      places[Symbol.dispose]();
      queued?.fail(error);
      throw error;
    } finally {
      queued?.end();
    }
  }
}
