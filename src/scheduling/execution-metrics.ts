import { GloveboxError } from '../errors.ts';
import type { ExecutionEnd, ExecutionRequest } from '../execution/request.ts';
import { Counter, Histogram, Registry } from '../lib/prometheus.ts';

/** Upper bounds of the histogram's buckets, in seconds. */
const BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600];

/** Counts the executions of all sessions as they end, by kind. */
export class ExecutionMetrics {
  /** Metrics of this server alone: another one in the same process has its own. */
  readonly registry = new Registry();
  readonly #ended = this.registry.add(new Counter('glovebox_executions_total', 'Executions that have ended.'));
  readonly #durations = this.registry.add(
    new Histogram('glovebox_execution_seconds', 'How long executions ran.', BUCKETS_S),
  );

  count(request: ExecutionRequest, { status }: Pick<ExecutionEnd, 'status'>, durationMs: number): void {
    const kind = request.kind ?? 'code';
    this.#ended.increment({ kind, status });
    this.#durations.observe(durationMs / 1000, { kind });
  }
}

/**
 * Returns the status that an execution is counted under. Only an execution that its caller abandoned is `cancelled`. One
 * that was ended because of a failure, for example of its input, is an `error`.
 */
export function outcomeOf({ status }: ExecutionEnd, signal: AbortSignal): ExecutionEnd['status'] {
  const isAbandoned = signal.aborted && !(signal.reason instanceof GloveboxError);
  return status === 'cancelled' && !isAbandoned ? 'error' : status;
}
