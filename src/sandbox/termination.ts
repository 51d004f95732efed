import type { ExecutionEnd, ExecutionRequest, SandboxReset, TerminationMeans } from '../execution/request.ts';
import { within } from '../lib/deadline.ts';
import type { Channel } from '../protocol/channel.ts';
import type { ChannelExecution } from '../protocol/channel-execution.ts';
import { ALL_LOST, PROCESSES_LOST, type RunnerConnection } from './runner-connection.ts';

/** Milliseconds between the interrupt and the kill, for `finally` blocks. */
const INTERRUPT_GRACE_MS = 500;
/** The same in a context, which has a state to keep: a call into a library may take a while to hear the interrupt. */
const CONTEXT_GRACE_MS = 2000;
/** Milliseconds for the runner to confirm a kill; then the engine kills from outside. */
const KILL_CONFIRM_MS = 1000;
/** Nobody waits for the end of a program that moves files, and a busy machine is no reason to end all others with it. */
const FILES_GRACE = { interruptMs: 2000, killMs: 5000 };

/** Milliseconds that each means has, before the next and stronger one. */
export interface Grace {
  readonly interruptMs: number;
  readonly killMs: number;
}

export function graceFor({ kind, context }: ExecutionRequest): Grace {
  if (kind === 'files' || kind === 'archive') return FILES_GRACE;
  return { interruptMs: context === undefined ? INTERRUPT_GRACE_MS : CONTEXT_GRACE_MS, killMs: KILL_CONFIRM_MS };
}

/** Ends an execution by ever stronger means: each gets its time, and what survives them all ends with the container. */
export async function terminate(
  runner: RunnerConnection,
  channel: Channel,
  execution: ChannelExecution,
  { interruptMs, killMs }: Grace,
): Promise<Pick<ExecutionEnd, 'termination' | 'reset' | 'report'>> {
  const ended = Promise.race([execution.ended, channel.closed.then(() => undefined)]);
  execution.interrupt();
  let report = await within(interruptMs, ended);
  let termination: TerminationMeans = 'interrupt';
  if (!report) {
    execution.stopWaiting();
    execution.kill();
    termination = 'kill';
    report = await within(killMs, ended);
  }
  execution.stopWaiting();
  if (report && 'refused' in report) return { termination };
  if (report && !('failed' in report) && !report.survivors) return { termination, report };
  const reset: SandboxReset = { reason: 'would_not_end', lost: PROCESSES_LOST };
  return (await runner.clear(reset))
    ? { termination: 'uid_kill', reset }
    : { termination: 'replaced', reset: { ...reset, lost: ALL_LOST } };
}
