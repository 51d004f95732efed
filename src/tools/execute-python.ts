import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { ExecutionRequest } from '../execution/request.ts';
import { Stopwatch } from '../execution/stopwatch.ts';
import { describeRecovered } from '../sessions/background-result.ts';
import type { Lease } from '../sessions/sessions.ts';
import { codeText } from './code-text.ts';
import { identify, programText, sessionIdInput } from './common-fields.ts';
import { type ExecutePythonLimits, resultsPolicy, toOutcome } from './execution-outcome.ts';
import { type ExecutionOutput, executionOutput, summarizeExecution } from './execution-output.ts';
import { leaseSession } from './lease-session.ts';
import { metLimit } from './limit-output.ts';
import { OutputStreams } from './output-streams.ts';
import { ignoreEvents, type Tool, type ToolContext } from './tool.ts';
import { needNewInterpreter, whyRefused } from './variables.ts';

const MAX_VARIABLES = 256;
/** No exclusive bound: not every client knows them. */
const SHORTEST_TIMEOUT_S = 0.001;
const ENV_LIMIT = 65_536;
/** Of the session's disk, that kept output may take. */
const KEPT_PART = 1 / 4;
const MIB = 1024 * 1024;

const variableName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'a name is 1 to 128 letters, digits or "_" and begins with no digit');

function inputSchema({ execTimeoutS, maxTimeoutS, codeLimit }: ExecutePythonLimits) {
  return z.strictObject({
    code: programText(codeLimit, 'the code')
      .refine((code) => codeText(code).trim() !== '', 'there is no code in it; send at least one statement')
      .describe('Python source, run as a script would be. Print what you want to see.'),
    session_id: sessionIdInput,
    context: z
      .string()
      // Empty is as absent, and the only way to say so for a client with strict schemas, which makes all arguments required.
      .regex(/^[A-Za-z0-9_-]{0,64}$/, 'a name of 1 to 64 letters, digits, "_" or "-"')
      .optional()
      .describe('Name of an interpreter that keeps its variables for later calls, as a notebook does.'),
    reset_context: z.boolean().optional().describe('Start that context anew.'),
    timeout_s: z
      .number()
      .min(SHORTEST_TIMEOUT_S)
      .max(maxTimeoutS)
      .optional()
      .describe(
        `Seconds until it is ended, at most ${maxTimeoutS}; by default ${execTimeoutS}, and ${maxTimeoutS} in the background. Above 50 use background: many clients give up after 60.`,
      ),
    background: z.boolean().optional().describe('Answer at once; get_execution tells the rest.'),
    stdin: programText(codeLimit, 'stdin').optional().describe('Standard input, whole; empty by default.'),
    env: z
      .record(variableName, programText(ENV_LIMIT, 'a value'))
      .refine((env) => Object.keys(env).length <= MAX_VARIABLES, `at most ${MAX_VARIABLES} variables`)
      .optional()
      .describe('Environment variables to add, each "NAME=value"; an object of values by name is taken too.'),
  });
}

function refuseVariables({ env = {}, context }: Input, { addIssue }: z.RefinementCtx): void {
  for (const [name, value] of Object.entries(env)) {
    const message = whyRefused(name, value, context !== undefined);
    if (message) addIssue({ code: 'custom', path: ['env', name], message });
  }
}

type Input = z.infer<ReturnType<typeof inputSchema>>;

export function createExecutePython(limits: ExecutePythonLimits): Tool<Input, ExecutionOutput> {
  return {
    name: 'execute_python',
    title: 'Run Python',
    description: describe(limits),
    effect: 'changes',
    input: inputSchema(limits)
      .refine(({ context, reset_context }) => context !== undefined || !reset_context, {
        path: ['reset_context'],
        error: 'there is no context named; say which in "context"',
      })
      .superRefine(refuseVariables),
    output: executionOutput,
    handle: (input, context) => executePython(input, context, limits),
    summarize: summarizeExecution,
  };
}

function describe({ execTimeoutS, maxTimeoutS, memoryMb }: ExecutePythonLimits): string {
  return [
    'Run Python code in an isolated sandbox and get its output.',
    'Without context each call is a new process, as by `python script.py`; with context: "name", variables persist between calls.',
    'Files in /workspace (the working directory) persist within the session: pass session_id to later calls.',
    'Besides what is printed, the last expression, display(), DataFrames, plots and images come back as results.',
    `There is no network. Limits: ${execTimeoutS} s (timeout_s: up to ${maxTimeoutS}), ${memoryMb} MB of memory; long jobs: background.`,
    'status "ok" means exit code 0. On "error" read `error`, correct the code and call again; on "timeout" do less or raise timeout_s;',
    'on "out_of_memory" use less memory; on "crashed" look at stderr.',
  ].join(' ');
}

async function executePython(
  input: Input,
  context: ToolContext,
  limits: ExecutePythonLimits,
): Promise<ExecutionOutput> {
  using stack = new DisposableStack();
  const lease = stack.use(await leaseSession(context, input.session_id));
  const id = `exe_${randomBytes(9).toString('base64url')}`;
  await context.emit({ type: 'session', ...identify(lease) });
  if (!input.background) return await run(input, id, lease, context, limits);
  const about = { timeoutS: timeoutOf(input, limits), context: input.context };
  const work = (signal: AbortSignal, onBegin: () => void) => {
    // The lease is the job's from now on: while it runs, the session does not expire.
    const held = stack.move();
    return run(input, id, lease, { signal, emit: ignoreEvents, onBegin }, limits).finally(() => held.dispose());
  };
  lease.session.background.start(id, work, about);
  const nothingYet = { exit_code: null, stdout: '', stderr: '', files: [], duration_ms: 0 };
  return { ...identify(lease), execution_id: id, status: 'running', ...nothingYet };
}

async function run(
  input: Input,
  id: string,
  lease: Lease,
  { signal, emit, onBegin }: Pick<ToolContext, 'signal' | 'emit'> & { readonly onBegin?: () => void },
  limits: ExecutePythonLimits,
): Promise<ExecutionOutput> {
  const { session } = lease;
  const timeoutS = timeoutOf(input, limits);
  const results = resultsPolicy(limits);
  const output = new OutputStreams(emit, {
    outputLimit: limits.outputLimit,
    results,
    ...(input.background ? { verbatim: true } : {}),
  });
  const stopwatch = new Stopwatch();
  const end = await session.execute(
    {
      ...toRequest(input),
      results,
      keep: keepPolicy(id, input, limits),
      ...(input.background ? { background: { timeout_s: timeoutS } } : {}),
    },
    {
      timeoutMs: timeoutS * 1000,
      signal,
      onOutput: output.take,
      onWait: (message) => void emit({ type: 'progress', message, status: 'queued' }),
      onBegin: () => {
        stopwatch.begin();
        onBegin?.();
      },
    },
  );
  const timings = stopwatch.read();
  if (end.reattached)
    return { ...identify(lease), ...(await describeRecovered(session, { id, timeoutS, end }, limits)), ...timings };
  await output.finish();
  const outcome = toOutcome(end, metLimit(end, timeoutS, limits));
  return {
    ...identify(lease),
    execution_id: id,
    ...(end.context ? { context: end.context, contexts: session.contexts.names } : {}),
    ...outcome,
    ...(outcome.error && lease.created ? { error: missedIn(lease.session.id, outcome.error) } : {}),
    ...output.fold(end),
    ...timings,
  };
}

/** What is missing in a session that has just been made may be in the one that the caller meant. */
function missedIn(
  sessionId: string,
  error: NonNullable<ExecutionOutput['error']>,
): NonNullable<ExecutionOutput['error']> {
  if (error.name !== 'FileNotFoundError' && error.name !== 'ModuleNotFoundError') return error;
  const reason = `The session ${sessionId} is new and empty: for files and packages of an earlier call, pass the session_id that it named.`;
  return { ...error, hint: [error.hint, reason].filter(Boolean).join(' ') };
}

function timeoutOf(input: Input, limits: ExecutePythonLimits): number {
  return input.timeout_s ?? (input.background ? limits.maxTimeoutS : limits.execTimeoutS);
}

function toRequest({ code, context, reset_context, stdin, env }: Input): ExecutionRequest {
  return {
    code: codeText(code),
    ...(context === undefined ? {} : { context }),
    ...(context !== undefined && reset_context ? { end_context: context } : {}),
    ...(stdin === undefined ? {} : { stdin }),
    ...(env ? { env } : {}),
    ...(env && context === undefined && needNewInterpreter(Object.keys(env)) ? { new_interpreter: true } : {}),
  };
}

/** A background execution's output is read from its file while it runs, so that begins at once. */
function keepPolicy(id: string, { background }: Input, limits: ExecutePythonLimits) {
  const total = Math.floor(limits.diskMb * MIB * KEPT_PART);
  const limit = Math.min(limits.outputKeepLimit, Math.floor(total / 2));
  return { id, inline: background ? 0 : limits.outputLimit, limit, total };
}
