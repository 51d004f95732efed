import { z } from 'zod';
import type { ExecutionResult } from '../../execution/result.ts';
import type { BackgroundExecution } from '../../sessions/background-execution.ts';
import { sessionIdInput } from '../common-fields.ts';
import { leaseSession } from '../lease-session.ts';
import type { Tool } from '../tool.ts';

/** Characters of a command in a list. */
const MOST_COMMAND = 200;

const listed = z.object({
  execution_id: z.string(),
  kind: z.enum(['code', 'command']).optional(),
  command: z.string().optional().describe('The beginning of its command or code.'),
  context: z.string().optional(),
  status: z.string().describe('"queued", "running", or how it ended.'),
  started_at: z.string(),
  seconds: z.number().describe('That it has run.'),
  cpu_ms: z.number().optional().describe('So far.'),
  output_bytes: z.object({ stdout: z.number().int(), stderr: z.number().int() }).optional(),
  stdin_open: z.literal(true).optional().describe('Whether send_input may send more.'),
});
const listInput = z.strictObject({ session_id: sessionIdInput });
const listOutput = z.object({ session_id: z.string(), processes: z.array(listed) });

type ListedProcess = z.infer<typeof listed>;

/** Describes a background execution in a list. */
async function toListedProcess(execution: BackgroundExecution): Promise<ListedProcess> {
  const { id, program, context, status, startedAt, begunAt, outcome, control } = execution;
  const result = outcome && 'result' in outcome ? outcome.result : undefined;
  const ranMs = result?.durationMs ?? (begunAt && !outcome ? Date.now() - begunAt.getTime() : 0);
  const used = result ? usageOf(result) : await control?.usage();
  return {
    execution_id: id,
    ...(program ? { kind: program.kind, command: program.code.slice(0, MOST_COMMAND) } : {}),
    ...(context === undefined ? {} : { context }),
    status,
    started_at: startedAt.toISOString(),
    seconds: Math.round(ranMs) / 1000,
    ...(used?.cpuMs === undefined ? {} : { cpu_ms: used.cpuMs }),
    ...(used ? { output_bytes: { stdout: used.stdout, stderr: used.stderr } } : {}),
    ...(control?.input?.isOpen && !outcome ? { stdin_open: true } : {}),
  };
}

/** What an execution that has ended has used. */
function usageOf({ cpuMs, truncated, stdout, stderr }: ExecutionResult) {
  return {
    cpuMs,
    stdout: truncated?.stdout?.totalBytes ?? Buffer.byteLength(stdout),
    stderr: truncated?.stderr?.totalBytes ?? Buffer.byteLength(stderr),
  };
}

export const listProcesses: Tool<z.infer<typeof listInput>, z.infer<typeof listOutput>> = {
  name: 'list_processes',
  title: 'List background executions',
  description: 'List what runs in the background of a session, and what ended last.',
  effect: 'reads',
  input: listInput,
  output: listOutput,
  handle: async ({ session_id }, context) => {
    using lease = await leaseSession(context, session_id);
    const processes = await Promise.all(lease.session.background.list().map(toListedProcess));
    return { session_id: lease.session.id, processes };
  },
  summarize: ({ session_id, processes }) =>
    processes.length === 0
      ? `Nothing has run in the background of ${session_id}.`
      : processes.map(summarizeProcess).join('\n'),
};

function summarizeProcess({ execution_id, status, seconds, command, context, ...more }: ListedProcess): string {
  const facts = [
    `${execution_id} ${status}, ${seconds} s`,
    context === undefined ? undefined : `context ${context}`,
    more.cpu_ms === undefined ? undefined : `${more.cpu_ms} ms of processor time`,
    more.output_bytes && `${more.output_bytes.stdout} and ${more.output_bytes.stderr} bytes of output`,
    more.stdin_open && 'takes input',
  ];
  const line = command?.split('\n', 1)[0] ?? '';
  return `${facts.filter(Boolean).join('; ')}${line === '' ? '' : `: ${line}`} (since ${more.started_at}${more.kind ? `, ${more.kind}` : ''})`;
}
