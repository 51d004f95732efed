import type { Channel } from './channel.ts';
import type { ChannelExecution } from './channel-execution.ts';
import type { ExecutionEnd, ExecutionRequest, SandboxReset, TerminationMeans } from './execution.ts';
import { ALL_LOST, PROCESSES_LOST, type Runner } from './runner.ts';
import { within } from './stop-signal.ts';

/** Between the interrupt and the kill: time for `finally` blocks. */
const INTERRUPT_GRACE_MS = 500;
/** A context has a state to keep, and a call into a library may take a while to hear the interrupt. */
const CONTEXT_GRACE_MS = 2000;
/** For the runner to confirm a kill; then the engine kills from outside. */
const KILL_CONFIRM_MS = 1000;

/** How long an execution has between its interrupt and its kill. */
export function graceFor({ context }: ExecutionRequest): number {
  return context === undefined ? INTERRUPT_GRACE_MS : CONTEXT_GRACE_MS;
}

/** The ladder: each means gets its time, and what survives them all ends with the container. */
export async function terminate(
  runner: Runner,
  channel: Channel,
  execution: ChannelExecution,
  graceMs: number,
): Promise<Pick<ExecutionEnd, 'termination' | 'reset' | 'report'>> {
  const ended = Promise.race([execution.ended, channel.closed.then(() => undefined)]);
  execution.interrupt();
  let report = await within(graceMs, ended);
  let termination: TerminationMeans = 'interrupt';
  if (!report) {
    execution.stopWaiting();
    execution.kill();
    termination = 'kill';
    report = await within(KILL_CONFIRM_MS, ended);
  }
  execution.stopWaiting();
  if (report && 'refused' in report) return { termination };
  if (report && !('failed' in report) && !report.survivors) return { termination, report };
  const reset: SandboxReset = { reason: 'would_not_end', lost: PROCESSES_LOST };
  return (await runner.clear(reset))
    ? { termination: 'uid_kill', reset }
    : { termination: 'replaced', reset: { ...reset, lost: ALL_LOST } };
}
