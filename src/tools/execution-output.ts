import { z } from 'zod';
import { sessionCreatedOutput, sessionIdOutput, sessionResetOutput } from './fields.ts';
import { resultsOutput, summarizeResults } from './results.ts';

const leftOut = z
  .object({
    bytes: z.number().int().describe('Left out between head and tail.'),
    file: z.string().optional().describe('Where the stream is whole: read_file reads it, and so does code.'),
    file_bytes: z.number().int().optional(),
  })
  .optional();

/** What `execute_python` answers. */
export const executionOutput = z.object({
  session_id: sessionIdOutput,
  session_created: sessionCreatedOutput,
  execution_id: z.string(),
  context: z
    .object({ name: z.string(), created: z.boolean(), alive: z.boolean() })
    .optional()
    .describe('The context that it ran in; created: it began empty.'),
  contexts: z.array(z.string()).optional().describe('The live contexts of the session.'),
  status: z
    .enum(['running', 'ok', 'error', 'timeout', 'cancelled', 'out_of_memory', 'crashed'])
    .describe(
      '"error": it ended by itself with an exit code other than 0; "crashed": a signal or a lost sandbox ended it.',
    ),
  exit_code: z.number().int().nullable().describe('Null when it did not end by itself.'),
  stdout: z.string(),
  stderr: z.string(),
  results: resultsOutput,
  error: z
    .object({ name: z.string(), value: z.string(), traceback: z.string() })
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
    })
    .optional()
    .describe('How it was ended.'),
  limit: z
    .object({ name: z.string(), value: z.union([z.number(), z.string()]), setting: z.string() })
    .optional()
    .describe('The limit that it met, and what raises it.'),
  session_reset: sessionResetOutput,
  duration_ms: z.number(),
  cpu_ms: z.number().optional(),
  peak_memory_bytes: z.number().int().optional(),
});

export type ExecutionOutput = z.infer<typeof executionOutput>;

/** All that the structured form says, as text for a model. */
export function summarizeExecution(output: ExecutionOutput): string {
  const parts = [
    output.stdout,
    output.stderr && `[stderr]\n${output.stderr}`,
    summarizeResults(output.results),
    ...describeLeftOut(output.truncated),
    output.files.length > 0 && `[files] ${output.files.map((file) => `${file.path} (${file.size} bytes)`).join(', ')}`,
    describeStacks(output.termination),
    `[${output.status}] ${describeEnd(output)}`,
    output.context && describeContext(output),
    output.session_reset && describeReset(output.session_reset),
    `[session_id] ${output.session_id}${output.session_created ? ' (new)' : ''}`,
  ];
  return parts
    .filter(Boolean)
    .map((part) => String(part).replace(/\n$/, ''))
    .join('\n');
}

function describeReset({ reason, lost, restored_from }: NonNullable<ExecutionOutput['session_reset']>): string {
  const since = restored_from === undefined ? '' : `; files are those of ${restored_from}`;
  return `[session_reset] ${reason}: lost ${lost.join(', ')}${since}`;
}

function describeEnd({ execution_id, status, ...output }: ExecutionOutput): string {
  if (status === 'running') return `in the background as ${execution_id}`;
  const { exit_code, error, limit, termination, peak_memory_bytes: peak, duration_ms } = output;
  const facts = [
    exit_code === null ? 'it did not end by itself' : `exit code ${exit_code}`,
    error && `${error.name}: ${error.value.split('\n', 1)[0]}`,
    limit && `limit ${limit.name} = ${limit.value}; to change it: ${limit.setting}`,
    termination && `ended by ${termination.by}`,
    status !== 'ok' && peak !== undefined && `peak memory ${Math.round(peak / 1024 / 1024)} MiB`,
    `${duration_ms} ms`,
  ];
  return facts.filter(Boolean).join('; ');
}

function describeLeftOut(truncated: ExecutionOutput['truncated']): string[] {
  return Object.entries(truncated ?? {}).flatMap(([name, stream]) =>
    stream
      ? [
          `[truncated] ${stream.bytes} bytes of ${name}${stream.file ? `; ${stream.file_bytes} bytes in ${stream.file}` : ''}`,
        ]
      : [],
  );
}

function describeStacks(termination: ExecutionOutput['termination']): string | undefined {
  return termination?.stacks
    ?.map(({ thread, frames }) => `[stack of ${thread}]\n${frames.map((frame) => `  ${frame}`).join('\n')}`)
    .join('\n');
}

function describeContext({ context, contexts = [] }: ExecutionOutput): string {
  const state = !context?.alive ? ' (ended: its variables are gone)' : context.created ? ' (new)' : '';
  const others = contexts.filter((name) => name !== context?.name);
  return `[context] ${context?.name}${state}${others.length > 0 ? `; others: ${others.join(', ')}` : ''}`;
}
