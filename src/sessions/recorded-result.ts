import { z } from 'zod';
import { displaySchema } from '../execution/displays.ts';
import type { CutStream, ExecutionResult } from '../execution/result.ts';
import { fromWire, toWire } from '../execution/web-summary.ts';

const cutSchema = z.object({
  bytes: z.number(),
  total_bytes: z.number(),
  file: z.string().optional(),
  file_bytes: z.number().optional(),
});
const contextSchema = z.object({ name: z.string(), created: z.boolean(), alive: z.boolean() });
const errorSchema = z.object({
  name: z.string(),
  value: z.string(),
  traceback: z.string(),
  hint: z.string().optional(),
});
const stackSchema = z.object({ thread: z.string(), frames: z.array(z.string()) });
const processSchema = z.object({
  pid: z.number(),
  parent: z.number(),
  command: z.string(),
  state: z.string(),
  cpu_ms: z.number(),
});
const limitSchema = z.object({
  name: z.string(),
  value: z.union([z.number(), z.string()]),
  setting: z.string(),
  ended: z.literal('a child process').optional(),
});
const resetSchema = z.object({
  reason: z.enum([
    'runner_lost',
    'runner_incompatible',
    'would_not_end',
    'sandbox_lost',
    'context_ended',
    'hibernated',
    'archive_broken',
    'connection_lost',
    'server_stopped',
  ]),
  lost: z.array(z.enum(['files', 'contexts', 'packages', 'background', 'terminals'])),
  restored_from: z.string().optional(),
});

const whole = z.number().int().nonnegative();
const webSchema = z.object({
  hosts: z.array(z.object({ host: z.string(), port: whole, requests: whole, bytes_in: whole, bytes_out: whole })),
  refused: z.array(
    z.object({
      ...{ host: z.string(), port: whole, rule: z.enum(['host', 'port', 'address', 'secret', 'limit']) },
      message: z.string(),
    }),
  ),
});

/** Result of an execution on disk. Older and newer control planes read it, so only additions are allowed. */
export const recordedResultSchema = z.object({
  session_id: z.string(),
  session_created: z.literal(true).optional(),
  execution_id: z.string(),
  context: contextSchema.optional(),
  contexts: z.array(z.string()).optional(),
  status: z.enum(['ok', 'error', 'timeout', 'cancelled', 'out_of_memory', 'crashed']),
  exit_code: z.number().nullable(),
  signal: z.string().optional(),
  error: errorSchema.optional(),
  files: z.array(z.object({ path: z.string(), size: z.number() })),
  termination: z
    .object({
      by: z.enum(['interrupt', 'kill', 'uid_kill', 'replaced']),
      stacks: z.array(stackSchema).optional(),
      processes: z.array(processSchema).optional(),
    })
    .optional(),
  limit: limitSchema.optional(),
  session_reset: resetSchema.optional(),
  cpu_ms: z.number().optional(),
  peak_memory_bytes: z.number().optional(),
  stdout: z.string(),
  stderr: z.string(),
  results: z.array(displaySchema).optional(),
  tool_calls: z
    .array(z.object({ n: z.number(), tool: z.string(), ms: z.number(), status: z.string(), bytes: z.number() }))
    .optional(),
  web: webSchema.optional(),
  truncated: z.object({ stdout: cutSchema.optional(), stderr: cutSchema.optional() }).optional(),
  duration_ms: z.number(),
  queued_ms: z.number().optional(),
  waited_ms: z.number().optional(),
});

export type RecordedResult = z.infer<typeof recordedResultSchema>;

export function toRecordedResult(result: ExecutionResult): RecordedResult {
  const { context, contexts, status, signal, error, files, termination, limit, reset, stdout, stderr } = result;
  return {
    session_id: result.sessionId,
    session_created: result.sessionCreated,
    execution_id: result.executionId,
    context,
    contexts: contexts && [...contexts],
    status,
    exit_code: result.exitCode,
    signal,
    error,
    files: [...files],
    termination: termination && {
      by: termination.by,
      stacks: termination.stacks?.map(copyStack),
      processes: termination.processes && [...termination.processes],
    },
    limit,
    session_reset: reset && { reason: reset.reason, lost: [...reset.lost], restored_from: reset.restoredFrom },
    cpu_ms: result.cpuMs,
    peak_memory_bytes: result.peakMemoryBytes,
    stdout,
    stderr,
    results: result.displays && [...result.displays],
    tool_calls: result.toolCalls?.map((call) => ({ ...call })),
    web: result.web && toWire(result.web),
    truncated: result.truncated && {
      stdout: toRecordedCut(result.truncated.stdout),
      stderr: toRecordedCut(result.truncated.stderr),
    },
    duration_ms: result.durationMs,
    queued_ms: result.queuedMs,
    waited_ms: result.waitedMs,
  };
}

export function fromRecordedResult(recorded: RecordedResult): ExecutionResult {
  const { context, contexts, status, signal, error, files, termination, limit, stdout, stderr } = recorded;
  const { session_reset: reset } = recorded;
  return {
    sessionId: recorded.session_id,
    sessionCreated: recorded.session_created,
    executionId: recorded.execution_id,
    context,
    contexts,
    status,
    exitCode: recorded.exit_code,
    signal,
    error,
    files,
    termination,
    limit,
    reset: reset && { reason: reset.reason, lost: reset.lost, restoredFrom: reset.restored_from },
    cpuMs: recorded.cpu_ms,
    peakMemoryBytes: recorded.peak_memory_bytes,
    stdout,
    stderr,
    displays: recorded.results,
    toolCalls: recorded.tool_calls,
    web: recorded.web && fromWire(recorded.web),
    truncated: recorded.truncated && {
      stdout: fromRecordedCut(recorded.truncated.stdout),
      stderr: fromRecordedCut(recorded.truncated.stderr),
    },
    durationMs: recorded.duration_ms,
    queuedMs: recorded.queued_ms,
    waitedMs: recorded.waited_ms,
  };
}

function copyStack({ thread, frames }: { thread: string; frames: readonly string[] }): z.infer<typeof stackSchema> {
  return { thread, frames: [...frames] };
}

function toRecordedCut(cut: CutStream | undefined): z.infer<typeof cutSchema> | undefined {
  return cut && { bytes: cut.leftOutBytes, total_bytes: cut.totalBytes, file: cut.file, file_bytes: cut.fileBytes };
}

function fromRecordedCut(cut: z.infer<typeof cutSchema> | undefined): CutStream | undefined {
  return cut && { leftOutBytes: cut.bytes, totalBytes: cut.total_bytes, file: cut.file, fileBytes: cut.file_bytes };
}
