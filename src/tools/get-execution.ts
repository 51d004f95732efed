import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { SessionFiles } from '../files/session-files.ts';
import { type BackgroundExecution, statusOf } from '../sessions/background-executions.ts';
import { describeRest, readStates, type TextStream } from '../sessions/background-output.ts';
import type { Session } from '../sessions/session.ts';
import { type ExecutionOutput, executionOutput, summarizeExecution } from './execution-output.ts';
import type { Tool, ToolContext } from './tool.ts';

export interface GetExecutionLimits {
  /** Bytes of each output stream in a result. */
  readonly outputLimit: number;
}

/** Clients tend to give up on a call after a minute. */
export const LONGEST_WAIT_S = 50;

const executionId = z.string().min(1).max(256).describe('As execute_python gave it.');
const offset = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional();
const getInput = z.strictObject({
  execution_id: executionId,
  session_id: z.string().optional().describe('Not needed.'),
  wait_s: z
    .number()
    .min(0)
    .max(LONGEST_WAIT_S)
    .optional()
    .describe(`Seconds to wait for its end, at most ${LONGEST_WAIT_S}; 0 by default.`),
  stdout_offset: offset.describe('Bytes of stdout that you have already; 0 by default.'),
  stderr_offset: offset.describe('The same of stderr.'),
});
const cancelInput = z.strictObject({
  execution_id: executionId,
  session_id: z.string().optional().describe('Not needed.'),
});
const outputSchema = executionOutput.extend({
  started_at: z.string(),
  next: z
    .object({ stdout_offset: z.number().int(), stderr_offset: z.number().int() })
    .describe('Pass these to the next call to get only what is new.'),
});

type GetInput = z.infer<typeof getInput>;
type Output = z.infer<typeof outputSchema>;

export function createGetExecution(limits: GetExecutionLimits): Tool<GetInput, Output> {
  return {
    name: 'get_execution',
    title: 'Follow a background execution',
    description: 'Wait for a background execution of execute_python and read its new output; its result once it ended.',
    effect: 'reads',
    input: getInput,
    output: outputSchema,
    handle: (input, context) => getExecution(input, context, limits),
    summarize,
  };
}

export function createCancelExecution(limits: GetExecutionLimits): Tool<z.infer<typeof cancelInput>, Output> {
  return {
    name: 'cancel_execution',
    title: 'Cancel a background execution',
    description: 'End a background execution of execute_python; its result, with the output that came before.',
    effect: 'ends',
    input: cancelInput,
    output: outputSchema,
    handle: async (input, context) => {
      using held = await context.sessions.leaseJob(context.caller.owner, input.execution_id, context);
      held.job.cancel();
      await held.job.ended;
      return await describe(held, {}, context, limits);
    },
    summarize,
  };
}

async function getExecution(input: GetInput, context: ToolContext, limits: GetExecutionLimits): Promise<Output> {
  using held = await context.sessions.leaseJob(context.caller.owner, input.execution_id, context);
  const { job } = held;
  if (input.wait_s && !job.outcome) {
    using patience = new Patience(context.signal);
    await Promise.race([job.ended, patience.wait(input.wait_s * 1000)]);
  }
  return await describe(held, input, context, limits);
}

async function describe(
  { session, job }: { readonly session: Session; readonly job: BackgroundExecution },
  offsets: { readonly stdout_offset?: number | undefined; readonly stderr_offset?: number | undefined },
  { signal }: ToolContext,
  { outputLimit }: GetExecutionLimits,
): Promise<Output> {
  if (job.outcome && 'error' in job.outcome) throw job.outcome.error;
  // That the session was new was so when it began.
  const { session_created: _, ...ended } = (job.outcome?.result ?? describeRunning(session, job)) as ExecutionOutput;
  const files = new SessionFiles(session, signal);
  const read = (name: TextStream, from = 0) => readStates(files, { name, from, most: outputLimit }, ended);
  const stdout = await read('stdout', offsets.stdout_offset);
  const stderr = await read('stderr', offsets.stderr_offset);
  const truncated = { ...describeRest('stdout', stdout.next, ended), ...describeRest('stderr', stderr.next, ended) };
  return {
    ...ended,
    stdout: stdout.text,
    stderr: stderr.text,
    truncated: Object.keys(truncated).length > 0 ? truncated : undefined,
    started_at: job.startedAt.toISOString(),
    next: { stdout_offset: stdout.next, stderr_offset: stderr.next },
  };
}

function describeRunning(session: Session, job: BackgroundExecution): ExecutionOutput {
  const { startedAt, begunAt } = job;
  const now = Date.now();
  const queuedMs = (begunAt?.getTime() ?? now) - startedAt.getTime();
  return {
    session_id: session.id,
    execution_id: job.id,
    status: statusOf(job),
    exit_code: null,
    stdout: '',
    stderr: '',
    files: [],
    duration_ms: begunAt ? now - begunAt.getTime() : 0,
    ...(queuedMs > 0 ? { queued_ms: queuedMs } : {}),
  };
}

function summarize(output: Output): string {
  const { stdout_offset, stderr_offset } = output.next;
  return `${summarizeExecution(output)}\n[next] stdout_offset ${stdout_offset}, stderr_offset ${stderr_offset}`;
}

/** A wait that can be given up, and ends with the call. */
class Patience implements Disposable {
  readonly #given = new AbortController();
  readonly #signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.#signal = AbortSignal.any([signal, this.#given.signal]);
  }

  async wait(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#signal }).catch(() => {});
  }

  [Symbol.dispose](): void {
    this.#given.abort();
  }
}
