import { Counter, Histogram, Registry } from 'prom-client';
import { GloveboxError } from '../errors.ts';
import type { ExecutionEnd, ExecutionRequest } from '../execution/request.ts';
import { StartMetrics } from './start-metrics.ts';

/** Upper bounds of the histogram's buckets, in seconds. */
const BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600];

/** Counts the executions of all sessions as they end, by kind. */
export class ExecutionMetrics {
  /** Registry of this server. The library's default registry would mix the servers of one process. */
  readonly registry = new Registry();
  readonly starts = new StartMetrics(this.registry);
  readonly #ended = new Counter({
    name: 'glovebox_executions_total',
    help: 'Executions that have ended.',
    labelNames: ['kind', 'status'],
    registers: [this.registry],
  });
  readonly #durations = new Histogram({
    name: 'glovebox_execution_seconds',
    help: 'How long executions ran.',
    labelNames: ['kind'],
    buckets: BUCKETS_S,
    registers: [this.registry],
  });

  readonly #waits = new Histogram({
    name: 'glovebox_execution_wait_seconds',
    help: 'How long executions waited for their turn before they ran.',
    labelNames: ['kind'],
    buckets: BUCKETS_S,
    registers: [this.registry],
  });
  readonly #lost = new Counter({
    name: 'glovebox_sandboxes_lost_total',
    help: 'Sandboxes of sessions that ended without being asked to.',
    registers: [this.registry],
  });

  /** Counts a sandbox that is gone. */
  countLost(): void {
    this.#lost.inc();
  }

  /** Counts how long an execution that runs now has waited. */
  countWait(request: ExecutionRequest, waitedMs: number): void {
    this.#waits.observe({ kind: request.kind ?? 'code' }, waitedMs / 1000);
  }

  count(request: ExecutionRequest, { status }: Pick<ExecutionEnd, 'status'>, durationMs: number): void {
    const kind = request.kind ?? 'code';
    this.#ended.inc({ kind, status });
    this.#durations.observe({ kind }, durationMs / 1000);
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
