import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { OutputCapture } from '../sandbox/output.ts';
import type { ExecutionEnd } from '../sandbox/sandbox.ts';
import {
  identify,
  programText,
  sessionCreatedOutput,
  sessionIdInput,
  sessionIdOutput,
  sessionResetOutput,
  tellReset,
} from './fields.ts';
import type { Tool, ToolContext } from './tool.ts';

export interface ExecutePythonLimits {
  readonly execTimeoutS: number;
  readonly maxTimeoutS: number;
  readonly memoryMb: number;
  /** Bytes of code, and of stdin. */
  readonly codeLimit: number;
  /** Bytes of each output stream in a result. */
  readonly outputLimit: number;
}

const MAX_VARIABLES = 256;
const ENV_LIMIT = 65_536;

function inputSchema({ execTimeoutS, maxTimeoutS, codeLimit }: ExecutePythonLimits) {
  return z.strictObject({
    code: programText(codeLimit, 'the code')
      .refine((code) => code.trim() !== '', 'there is no code in it; send at least one statement')
      .describe('Python source, run as a script would be. Print what you want to see.'),
    session_id: sessionIdInput,
    timeout_s: z
      .number()
      .positive()
      .max(maxTimeoutS)
      .optional()
      .describe(`Seconds until it is ended, at most ${maxTimeoutS}; ${execTimeoutS} by default.`),
    stdin: programText(codeLimit, 'stdin').optional().describe('Standard input, whole; empty by default.'),
    env: z
      .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/), programText(ENV_LIMIT, 'a value'))
      .refine((env) => Object.keys(env).length <= MAX_VARIABLES, `at most ${MAX_VARIABLES} variables`)
      .optional()
      .describe('Environment variables to add.'),
  });
}

const outputSchema = z.object({
  session_id: sessionIdOutput,
  session_created: sessionCreatedOutput,
  execution_id: z.string(),
  status: z
    .enum(['ok', 'error', 'timeout', 'cancelled', 'out_of_memory', 'crashed'])
    .describe(
      '"error": it ended by itself with an exit code other than 0; "crashed": a signal or a lost sandbox ended it.',
    ),
  exit_code: z.number().int().nullable().describe('Null when it did not end by itself.'),
  stdout: z.string(),
  stderr: z.string(),
  error: z
    .object({ name: z.string(), value: z.string(), traceback: z.string() })
    .optional()
    .describe('The uncaught Python exception.'),
  truncated: z
    .object({ stdout: z.number().int().optional(), stderr: z.number().int().optional() })
    .optional()
    .describe('Bytes left out of the middle of a stream.'),
  files: z
    .array(z.object({ path: z.string(), size: z.number().int() }))
    .describe('Files in /workspace that it made or changed.'),
  termination: z
    .object({ by: z.enum(['interrupt', 'kill', 'uid_kill', 'replaced']) })
    .optional()
    .describe('How it was ended.'),
  limit: z
    .object({ name: z.string(), value: z.number(), setting: z.string() })
    .optional()
    .describe('The limit that ended it, and what raises it.'),
  session_reset: sessionResetOutput,
  duration_ms: z.number(),
  cpu_ms: z.number().optional(),
  peak_memory_bytes: z.number().int().optional(),
});

type Input = z.infer<ReturnType<typeof inputSchema>>;
type Output = z.infer<typeof outputSchema>;

export function createExecutePython(limits: ExecutePythonLimits): Tool<Input, Output> {
  return {
    name: 'execute_python',
    title: 'Run Python',
    description: describe(limits),
    effect: 'changes',
    input: inputSchema(limits),
    output: outputSchema,
    handle: (input, context) => executePython(input, context, limits),
    summarize,
  };
}

function describe({ execTimeoutS, maxTimeoutS, memoryMb }: ExecutePythonLimits): string {
  return [
    'Run Python code in an isolated sandbox and get its output.',
    'Each call is a new process, as by `python script.py`: variables do not persist; print() what you want to see.',
    "Files in /workspace (the working directory) persist within the session: pass the result's session_id to later calls.",
    `There is no network. Limits: ${execTimeoutS} s (timeout_s: up to ${maxTimeoutS}), ${memoryMb} MB of memory.`,
    'status "ok" means exit code 0. On "error" read `error`, correct the code and call again; on "timeout" do less or raise timeout_s;',
    'on "out_of_memory" use less memory; on "crashed" look at stderr. Output that came before the end is always returned.',
  ].join(' ');
}

async function executePython(input: Input, context: ToolContext, limits: ExecutePythonLimits): Promise<Output> {
  using lease = await context.sessions.lease(context.caller, input.session_id, {
    onProgress: (message) => void context.emit({ type: 'progress', message }),
    signal: context.signal,
  });
  const identity = identify(lease);
  await context.emit({ type: 'session', ...identity });
  const timeoutS = input.timeout_s ?? limits.execTimeoutS;
  const output = createOutput(context, limits.outputLimit);
  const started = performance.now();
  const end = await lease.session.execute(
    {
      code: input.code,
      ...(input.stdin === undefined ? {} : { stdin: input.stdin }),
      ...(input.env ? { env: input.env } : {}),
    },
    { timeoutMs: timeoutS * 1000, signal: context.signal, onOutput: output.take },
  );
  const durationMs = performance.now() - started;
  await output.finish();
  return {
    ...identity,
    execution_id: `exe_${randomBytes(9).toString('base64url')}`,
    ...toOutcome(end, timeoutS, limits),
    ...output.result(end.failure),
    duration_ms: round(durationMs),
  };
}

/** Both streams of an execution: folded into the result, and told to the caller as they come. */
function createOutput(context: ToolContext, limit: number) {
  const streams = {
    stdout: { capture: new OutputCapture(limit), decoder: new TextDecoder() },
    stderr: { capture: new OutputCapture(limit), decoder: new TextDecoder() },
  };
  type Name = keyof typeof streams;
  const tell = (type: Name, text: string) => (text === '' ? undefined : context.emit({ type, text }));
  return {
    take(name: Name, chunk: Buffer): void | Promise<void> {
      const { capture, decoder } = streams[name];
      capture.add(chunk);
      return tell(name, decoder.decode(chunk, { stream: true }));
    },
    /** Tells what is left of a character that never became whole. */
    async finish(): Promise<void> {
      for (const name of ['stdout', 'stderr'] as const) await tell(name, streams[name].decoder.decode());
    },
    result(failure: string | undefined): Pick<Output, 'stdout' | 'stderr' | 'truncated'> {
      const stdout = streams.stdout.capture.result();
      const stderr = streams.stderr.capture.result();
      const truncated = {
        ...(stdout.leftOut > 0 ? { stdout: stdout.leftOut } : {}),
        ...(stderr.leftOut > 0 ? { stderr: stderr.leftOut } : {}),
      };
      return {
        stdout: stdout.text,
        stderr: failure === undefined ? stderr.text : `${stderr.text}${failure}\n`,
        ...(stdout.leftOut + stderr.leftOut > 0 ? { truncated } : {}),
      };
    },
  };
}

function toOutcome(end: ExecutionEnd, timeoutS: number, { memoryMb }: ExecutePythonLimits) {
  const { report } = end;
  const limit =
    end.status === 'timeout'
      ? { name: 'timeout_s', value: timeoutS, setting: 'the argument timeout_s' }
      : end.status === 'out_of_memory'
        ? { name: 'memory_mb', value: memoryMb, setting: 'GLOVEBOX_MEMORY_MB' }
        : undefined;
  return {
    status: end.status,
    exit_code: end.exitCode,
    ...(report?.error && end.status !== 'ok' ? { error: report.error } : {}),
    files: report?.files ?? [],
    ...(end.termination ? { termination: { by: end.termination } } : {}),
    ...(limit ? { limit } : {}),
    ...tellReset(end),
    ...(report ? { cpu_ms: report.cpu_ms, peak_memory_bytes: report.peak_memory_bytes } : {}),
  };
}

function summarize(output: Output): string {
  const parts = [
    output.stdout,
    output.stderr && `[stderr]\n${output.stderr}`,
    output.files.length > 0 && `[files] ${output.files.map((file) => `${file.path} (${file.size} bytes)`).join(', ')}`,
    `[${output.status}] ${describeEnd(output)}`,
    output.session_reset &&
      `[session_reset] ${output.session_reset.reason}: lost ${output.session_reset.lost.join(', ')}`,
    `[session_id] ${output.session_id}${output.session_created ? ' (new)' : ''}`,
  ];
  return parts
    .filter(Boolean)
    .map((part) => String(part).replace(/\n$/, ''))
    .join('\n');
}

function describeEnd({ exit_code, duration_ms, limit, termination, error }: Output): string {
  const facts = [
    exit_code === null ? 'it did not end by itself' : `exit code ${exit_code}`,
    error && `${error.name}: ${error.value.split('\n', 1)[0]}`,
    limit && `limit ${limit.name} = ${limit.value}, raised by ${limit.setting}`,
    termination && `ended by ${termination.by}`,
    `${duration_ms} ms`,
  ];
  return facts.filter(Boolean).join('; ');
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
