import type { ExecutionEnd, ExecutionRequest, SandboxReset, TerminationMeans } from '../execution/request.ts';
import { within } from '../lib/deadline.ts';
import type { ChannelExecution } from '../protocol/channel-execution.ts';
import { ALL_LOST, PROCESSES_LOST, type RunnerConnection } from './runner-connection.ts';

/** Time between interrupt and kill, in milliseconds, so that `finally` blocks can run. */
const INTERRUPT_GRACE_MS = 500;
/** Time between interrupt and kill in a context, in milliseconds. It is longer, because a kill loses the variables. */
const CONTEXT_GRACE_MS = 2000;
/** Time for the runner to confirm a kill, in milliseconds. After that, the engine kills from outside. */
const KILL_CONFIRM_MS = 1000;
/**
 * Time for the runner's word where its machine was away, by how long it was. What waits on a connection is sent again at
 * intervals that double, so it comes through within as long again.
 */
const TIMES_AWAY = 2;
const MOST_AFTER_AWAY_MS = 20_000;
/** Longer times for file operations. No caller waits for their end, and a busy machine must not cost other programs. */
const FILES_GRACE = { interruptMs: 2000, killMs: 5000 };

/** Milliseconds that each means gets before the next, stronger one. */
export interface Grace {
  readonly interruptMs: number;
  readonly killMs: number;
}

export function graceFor({ kind, context }: ExecutionRequest): Grace {
  if (kind === 'files' || kind === 'archive') return FILES_GRACE;
  return { interruptMs: context === undefined ? INTERRUPT_GRACE_MS : CONTEXT_GRACE_MS, killMs: KILL_CONFIRM_MS };
}

/** Ends an execution by increasingly strong means. If all others fail, the container is removed. */
export async function terminate(
  runner: RunnerConnection,
  execution: ChannelExecution,
  { interruptMs, killMs }: Grace,
): Promise<Pick<ExecutionEnd, 'termination' | 'reset' | 'report'>> {
  execution.interrupt();
  let report = await within(interruptMs, execution.ended);
  let termination: TerminationMeans = 'interrupt';
  if (!report) {
    execution.stopWaiting();
    execution.kill();
    termination = 'kill';
    report = await within(killMs, execution.ended);
  }
  // A kill from outside ends all others, too. A runner whose machine was away ends this one alone once it hears of it.
  if (!report) {
    const awayMs = await runner.awaitMachine();
    report = await within(Math.min(TIMES_AWAY * awayMs, MOST_AFTER_AWAY_MS), execution.ended);
  }
  execution.stopWaiting();
  if (report && 'refused' in report) return { termination };
  if (report && !('failed' in report) && !report.survivors) return { termination, report };
  const reset: SandboxReset = { reason: 'would_not_end', lost: PROCESSES_LOST };
  return (await runner.clear(reset))
    ? { termination: 'uid_kill', reset }
    : { termination: 'replaced', reset: { ...reset, lost: ALL_LOST } };
}
