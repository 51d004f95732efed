import { z } from 'zod';
import type { CutStream, ExecutionResult, Truncated } from '../execution/result.ts';
import { toWire } from '../execution/web-summary.ts';
import { sessionLines, sessionOutput, tellReset, timingsOutput } from './common-fields.ts';
import { resultsOutput, summarizeResults } from './display-output.ts';
import { describeLimit, limitOutput } from './limit-output.ts';
import { describeToolCalls, toolCallsOutput } from './tool-calls-output.ts';
import { describeWeb, webOutput } from './web/web-output.ts';

const leftOut = z
  .object({
    bytes: z.number().int().describe('Left out of this answer.'),
    total_bytes: z.number().int().describe('Of the whole stream.'),
    file: z.string().optional().describe('Holds the stream from its beginning: read_file reads it, and so does code.'),
    file_bytes: z.number().int().optional().describe('Of the file; less than total_bytes if not all could be kept.'),
  })
  .optional();

/** Output schema of `execute_python`. */
export const executionOutput = z.object({
  ...sessionOutput,
  execution_id: z.string(),
  context: z
    .object({ name: z.string(), created: z.boolean(), alive: z.boolean() })
    .optional()
    .describe('The context that it ran in; created: it began empty.'),
  contexts: z.array(z.string()).optional().describe('The live contexts of the session.'),
  status: z
    .enum(['queued', 'running', 'ok', 'error', 'timeout', 'cancelled', 'out_of_memory', 'crashed'])
    .describe(
      '"error": it ended by itself with an exit code other than 0; "crashed": a signal or a lost sandbox ended it.',
    ),
  exit_code: z.number().int().nullable().describe('Null when it did not end by itself.'),
  signal: z.string().optional().describe('The signal that ended it, if it crashed.'),
  stdout: z.string(),
  stderr: z.string(),
  results: resultsOutput,
  error: z
    .object({
      name: z.string(),
      value: z.string(),
      traceback: z.string(),
      hint: z.string().optional().describe('What to do about it, where that is known.'),
    })
    .optional()
    .describe('The uncaught Python exception.'),
  truncated: z.object({ stdout: leftOut, stderr: leftOut }).optional(),
  files: z
    .array(z.object({ path: z.string(), size: z.number().int() }))
    .describe('Files in /workspace that it made or changed.'),
  termination: z
    .object({
      by: z.enum(['interrupt', 'kill', 'uid_kill', 'replaced']),
      stacks: z
        .array(z.object({ thread: z.string(), frames: z.array(z.string()) }))
        .optional()
        .describe('Where each thread was, the innermost frame last.'),
      processes: z
        .array(
          z.object({
            pid: z.number().int(),
            parent: z.number().int(),
            command: z.string(),
            state: z.string(),
            cpu_ms: z.number(),
          }),
        )
        .optional()
        .describe('What a command had running then.'),
    })
    .optional()
    .describe('How it was ended.'),
  limit: limitOutput,
  ...timingsOutput,
  waited_ms: z
    .number()
    .optional()
    .describe('Of duration_ms, waited for an answer from a person or the caller; its time limit stood still.'),
  cpu_ms: z.number().optional(),
  peak_memory_bytes: z.number().int().optional(),
  tool_calls: toolCallsOutput,
  web: webOutput,
});

export type ExecutionOutput = z.infer<typeof executionOutput>;

/** Converts the result of an execution for callers of tools. */
export function toOutput(result: ExecutionResult): ExecutionOutput {
  const { context, contexts, status, signal, error, files, termination, limit, stdout, stderr, displays } = result;
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
      stacks: termination.stacks?.map(({ thread, frames }) => ({ thread, frames: [...frames] })),
      processes: termination.processes && [...termination.processes],
    },
    limit,
    ...tellReset(result),
    cpu_ms: result.cpuMs,
    peak_memory_bytes: result.peakMemoryBytes,
    tool_calls: result.toolCalls?.map((call) => ({ ...call })),
    web: result.web && toWire(result.web),
    stdout,
    stderr,
    results: displays && [...displays],
    truncated: toTruncated(result.truncated),
    duration_ms: result.durationMs,
    queued_ms: result.queuedMs,
    waited_ms: result.waitedMs,
  };
}

export function toTruncated(truncated: Truncated | undefined): ExecutionOutput['truncated'] {
  return truncated && { stdout: toLeftOut(truncated.stdout), stderr: toLeftOut(truncated.stderr) };
}

function toLeftOut(cut: CutStream | undefined): z.infer<typeof leftOut> {
  return cut && { bytes: cut.leftOutBytes, total_bytes: cut.totalBytes, file: cut.file, file_bytes: cut.fileBytes };
}

/** Returns everything in the structured output as text for a model. */
export function summarizeExecution(output: ExecutionOutput): string {
  const parts = [
    output.stdout,
    output.stderr && `[stderr]\n${output.stderr}`,
    summarizeResults(output.results),
    ...describeLeftOut(output.truncated),
    output.files.length > 0 && `[files] ${output.files.map((file) => `${file.path} (${file.size} bytes)`).join(', ')}`,
    describeToolCalls(output.tool_calls),
    ...describeWeb(output.web),
    describeStacks(output.termination),
    describeProcesses(output.termination),
    `[${output.status}] ${describeEnd(output)}`,
    output.context && describeContext(output),
    sessionLines(output),
  ];
  return parts
    .filter(Boolean)
    .map((part) => String(part).replace(/\n$/, ''))
    .join('\n');
}

function describeEnd({ execution_id, status, ...output }: ExecutionOutput): string {
  if (status === 'running') return `in the background as ${execution_id}`;
  if (status === 'queued') return `waits for its turn in the background as ${execution_id}`;
  const {
    exit_code,
    signal,
    error,
    limit,
    termination,
    peak_memory_bytes: peak,
    duration_ms,
    queued_ms,
    waited_ms,
  } = output;
  const facts = [
    exit_code === null ? 'it did not end by itself' : `exit code ${exit_code}`,
    signal && `a crash: ${signal}`,
    error && `${error.name}: ${error.value.split('\n', 1)[0]}`,
    error?.hint,
    limit && describeLimit(limit),
    termination && `ended by ${termination.by}`,
    status !== 'ok' && peak !== undefined && `peak memory ${Math.round(peak / 1024 / 1024)} MiB`,
    `${duration_ms} ms`,
    waited_ms && `of these, ${waited_ms} ms of waiting for an answer`,
    queued_ms && `after ${queued_ms} ms of waiting`,
  ];
  return facts.filter(Boolean).join('; ');
}

function describeLeftOut(truncated: ExecutionOutput['truncated']): string[] {
  return Object.entries(truncated ?? {}).flatMap(([name, stream]) => {
    if (!stream) return [];
    const { bytes, total_bytes: total, file, file_bytes: kept } = stream;
    const where = file && (kept === total ? `all of it is in ${file}` : `its first ${kept} bytes are in ${file}`);
    return [`[truncated] ${bytes} of ${total} bytes of ${name} are not shown here${where ? `; ${where}` : ''}`];
  });
}

function describeStacks(termination: ExecutionOutput['termination']): string | undefined {
  return termination?.stacks
    ?.map(({ thread, frames }) => `[stack of ${thread}]\n${frames.map((frame) => `  ${frame}`).join('\n')}`)
    .join('\n');
}

function describeProcesses(termination: ExecutionOutput['termination']): string | undefined {
  const lines = termination?.processes?.map(
    ({ pid, parent, command, state, cpu_ms }) => `  ${pid} (of ${parent}) ${state}, ${cpu_ms} ms of CPU: ${command}`,
  );
  return lines && ['[processes]', ...lines].join('\n');
}

function describeContext({ context, contexts = [] }: ExecutionOutput): string {
  const state = !context?.alive ? ' (ended: its variables are gone)' : context.created ? ' (new)' : '';
  const others = contexts.filter((name) => name !== context?.name);
  return `[context] ${context?.name}${state}${others.length > 0 ? `; others: ${others.join(', ')}` : ''}`;
}
