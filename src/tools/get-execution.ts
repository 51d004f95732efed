import { z } from 'zod';
import { toWire } from '../execution/web-summary.ts';
import type { BackgroundReading } from '../sessions/background-execution.ts';
import { tellTimings } from './common-fields.ts';
import {
  type ExecutionOutput,
  executionOutput,
  summarizeExecution,
  toOutput,
  toTruncated,
} from './execution-output.ts';
import type { Tool } from './tool.ts';

/** Clients tend to give up on a call after a minute. */
export const LONGEST_WAIT_S = 50;

const executionId = z.string().min(1).max(256).describe('As execute_python or run_command gave it.');
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

export const getExecution: Tool<GetInput, Output> = {
  name: 'get_execution',
  title: 'Follow a background execution',
  description: 'Wait for a background execution and read its new output; its result once it ended.',
  effect: 'reads',
  input: getInput,
  output: outputSchema,
  handle: async (input, { sessions, caller, signal }) =>
    toReadingOutput(
      await sessions.readBackground(caller.owner, input.execution_id, { ...toReadOptions(input), signal }),
    ),
  summarize,
};

export const cancelExecution: Tool<z.infer<typeof cancelInput>, Output> = {
  name: 'cancel_execution',
  title: 'Cancel a background execution',
  description: 'End a background execution; its result, with the output that came before.',
  effect: 'ends',
  input: cancelInput,
  output: outputSchema,
  handle: async ({ execution_id }, { sessions, caller, signal }) =>
    toReadingOutput(await sessions.cancelBackground(caller.owner, execution_id, signal)),
  summarize,
};

/** Converts the arguments of `get_execution`. */
export function toReadOptions({ wait_s, stdout_offset = 0, stderr_offset = 0 }: GetInput) {
  return {
    waitMs: wait_s === undefined ? undefined : wait_s * 1000,
    offsets: { stdout: stdout_offset, stderr: stderr_offset },
  };
}

/** Converts a background execution for callers. */
export function toReadingOutput(reading: BackgroundReading): Output {
  // That the session was new was so when it began.
  const { session_created: _, ...known } = reading.result ? toOutput(reading.result) : describeRunning(reading);
  return {
    ...known,
    stdout: reading.stdout,
    stderr: reading.stderr,
    truncated: toTruncated(reading.truncated),
    started_at: reading.startedAt.toISOString(),
    next: { stdout_offset: reading.next.stdout, stderr_offset: reading.next.stderr },
  };
}

function describeRunning(reading: BackgroundReading): ExecutionOutput {
  return {
    session_id: reading.sessionId,
    execution_id: reading.executionId,
    status: reading.status,
    exit_code: null,
    stdout: '',
    stderr: '',
    files: [],
    ...(reading.toolCalls.length > 0 ? { tool_calls: reading.toolCalls.map((call) => ({ ...call })) } : {}),
    ...(reading.web ? { web: toWire(reading.web) } : {}),
    ...tellTimings(reading),
  };
}

function summarize(output: Output): string {
  const { stdout_offset, stderr_offset } = output.next;
  return `${summarizeExecution(output)}\n[next] stdout_offset ${stdout_offset}, stderr_offset ${stderr_offset}`;
}
