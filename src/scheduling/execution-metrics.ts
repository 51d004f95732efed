import { GloveboxError } from '../errors.ts';
import type { ExecutionEnd, ExecutionRequest } from '../execution/request.ts';

/** Upper bounds of the buckets that durations are counted in, in seconds. */
const BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600] as const;

export type ExecutionKind = 'code' | NonNullable<ExecutionRequest['kind']>;

/** Executions of one kind since the start. */
export interface KindFigures {
  readonly byStatus: ReadonlyMap<ExecutionEnd['status'], number>;
  readonly secondsInAll: number;
  /** How many took at most so many seconds, but longer than the bucket before allows. */
  readonly buckets: readonly { readonly atMostS: number; readonly count: number }[];
}

interface Tally {
  readonly byStatus: Map<ExecutionEnd['status'], number>;
  secondsInAll: number;
  readonly counts: number[];
}

/** Counts the executions of all sessions as they end, by kind. */
export class ExecutionMetrics {
  readonly #tallies = new Map<ExecutionKind, Tally>();

  /** Executions that have ended, by kind. */
  get ended(): ReadonlyMap<ExecutionKind, KindFigures> {
    return new Map([...this.#tallies].map(([kind, tally]) => [kind, toFigures(tally)]));
  }

  count(request: ExecutionRequest, { status }: Pick<ExecutionEnd, 'status'>, durationMs: number): void {
    const kind = request.kind ?? 'code';
    const seconds = durationMs / 1000;
    const tally = this.#tallies.get(kind) ?? { byStatus: new Map(), secondsInAll: 0, counts: BUCKETS_S.map(() => 0) };
    this.#tallies.set(kind, tally);
    tally.byStatus.set(status, (tally.byStatus.get(status) ?? 0) + 1);
    tally.secondsInAll += seconds;
    const bucket = BUCKETS_S.findIndex((atMostS) => seconds <= atMostS);
    if (bucket >= 0) tally.counts[bucket] = (tally.counts[bucket] ?? 0) + 1;
  }
}

/**
 * What an execution counts as. Only one that its caller has left is `cancelled`: what was ended because it had failed
 * already, or what it was sent had, is an `error`.
 */
export function outcomeOf({ status }: ExecutionEnd, signal: AbortSignal): ExecutionEnd['status'] {
  const isLeft = signal.aborted && !(signal.reason instanceof GloveboxError);
  return status === 'cancelled' && !isLeft ? 'error' : status;
}

function toFigures({ byStatus, secondsInAll, counts }: Tally): KindFigures {
  const buckets = BUCKETS_S.map((atMostS, at) => ({ atMostS, count: counts[at] ?? 0 }));
  return { byStatus, secondsInAll, buckets };
}
