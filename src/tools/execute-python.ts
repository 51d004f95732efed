import { z } from 'zod';
import type { ApprovalChannels } from '../approvals/approvals.ts';
import { GloveboxError } from '../errors.ts';
import type { ExecutionResult, OnEvent } from '../execution/result.ts';
import type { ClientTool } from '../execution/tool-access.ts';
import { whyRefused } from '../execution/variables.ts';
import type { AttachedExecution } from '../sessions/attached/attached-execution.ts';
import { tooManyInBackground } from '../sessions/background-executions.ts';
import type { HeldExecution } from '../sessions/held-executions.ts';
import type { Lease } from '../sessions/sessions.ts';
import { codeText } from './code-text.ts';
import { identify, programText, sessionIdInput } from './common-fields.ts';
import { type ExecutionOutput, executionOutput, summarizeExecution, toOutput } from './execution-output.ts';
import { leaseSession } from './lease-session.ts';
import { ignoreEvents, type Leaving, type Tool, type ToolContext, toToolEvent } from './tool.ts';

const MAX_VARIABLES = 256;
/** No exclusive bound: not every client knows them. */
const SHORTEST_TIMEOUT_S = 0.001;
const ENV_LIMIT = 65_536;
const MAX_ARGUMENTS = 256;
const MAX_SERVERS = 64;
const MAX_NAME = 64;

export interface ExecutePythonLimits {
  readonly execTimeoutS: number;
  readonly maxTimeoutS: number;
  readonly memoryMb: number;
  /** Bytes of code, and of stdin. */
  readonly codeLimit: number;
  /** Whether there are servers whose tools code may call. */
  readonly hasTools?: boolean | undefined;
}

const variableName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'a name is 1 to 128 letters, digits or "_" and begins with no digit');

/** Where there are no tools to call, nothing is said of them. */
function inputSchema(limits: ExecutePythonLimits): z.ZodType<Input> {
  const schema = fullSchema(limits);
  return limits.hasTools ? schema : schema.omit({ tools: true });
}

function fullSchema({ execTimeoutS, maxTimeoutS, codeLimit }: ExecutePythonLimits) {
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
    args: z
      .array(programText(ENV_LIMIT, 'an argument'))
      .max(MAX_ARGUMENTS)
      .optional()
      .describe('Arguments of the script, for sys.argv[1:].'),
    env: z
      .record(variableName, programText(ENV_LIMIT, 'a value'))
      .refine((env) => Object.keys(env).length <= MAX_VARIABLES, `at most ${MAX_VARIABLES} variables`)
      .optional()
      .describe('Environment variables to add, each "NAME=value"; an object of values by name is taken too.'),
    tools: z
      .array(z.string().max(MAX_NAME))
      .max(MAX_SERVERS)
      .optional()
      .describe('Servers whose tools the code may call (import tools); by default those that the instructions say.'),
  });
}

function refuseVariables({ env = {}, context }: Input, { addIssue }: z.RefinementCtx): void {
  for (const [name, value] of Object.entries(env)) {
    const message = whyRefused(name, value, context !== undefined);
    if (message) addIssue({ code: 'custom', path: ['env', name], message });
  }
}

type Input = z.infer<ReturnType<typeof fullSchema>>;

export function createExecutePython(limits: ExecutePythonLimits): Tool<Input, ExecutionOutput> {
  return {
    name: 'execute_python',
    title: 'Run Python',
    description: describe(limits),
    effect: 'changes',
    takesInput: true,
    maybeTask: true,
    input: inputSchema(limits)
      .refine(({ context, reset_context }) => context !== undefined || !reset_context, {
        path: ['reset_context'],
        error: 'there is no context named; say which in "context"',
      })
      .refine(({ context, args = [] }) => context === undefined || args.length === 0, {
        path: ['args'],
        error: 'a context has no arguments; leave out "context", or "args"',
      })
      .superRefine(refuseVariables),
    output: executionOutput,
    handle: executePython,
    hold: holdPython,
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

async function executePython(input: Input, context: ToolContext): Promise<ExecutionOutput> {
  if (context.stdin && (input.stdin !== undefined || input.background || input.context !== undefined)) {
    throw new GloveboxError(
      'invalid_input',
      'A streamed standard input is for code that runs in a process of its own.',
      {
        hint: 'Leave out "stdin", "background" and "context", or send the input as "stdin".',
      },
    );
  }
  const lease = await leaseSession(context, input.session_id);
  try {
    return await executeIn(lease, input, context);
  } finally {
    lease[Symbol.dispose]();
  }
}

/** @throws GloveboxError `invalid_input` in the background: nobody would be there to answer */
async function holdPython(
  input: Input,
  context: ToolContext,
  clientTools: readonly ClientTool[],
): Promise<HeldExecution> {
  if (input.background) {
    throw new GloveboxError('invalid_input', 'Code in the background has no caller that could carry out its calls.', {
      hint: 'Leave out "background", or "client_tools".',
    });
  }
  using lease = await leaseSession(context, input.session_id);
  const { emit, sessions, stdin: streamed } = context;
  if (emit !== ignoreEvents) await emit({ type: 'session', ...identify(lease) });
  const options = { ...toOptions(input, lease, context), stdin: streamed ?? input.stdin, onEvent: toListener(emit) };
  return sessions.held.hold(lease.session, codeText(input.code), clientTools, options);
}

function describeRunning(id: string) {
  const nothingYet = { exit_code: null, stdout: '', stderr: '', files: [], duration_ms: 0 };
  return { execution_id: id, status: 'running' as const, ...nothingYet };
}

/** Waits for the end of an execution, unless that takes long. Then it goes on as a task, and there is no result. */
async function endOrLeave(
  execution: AttachedExecution,
  { afterMs, always, sooner, left, stayed }: Leaving,
): Promise<ExecutionResult | undefined> {
  const ends = execution.end(afterMs);
  const result = await (sooner === undefined ? ends : Promise.race([ends, sooner.then(() => undefined)]));
  if (result && !always) return result;
  if (execution.leave()) {
    left(execution.id);
    return undefined;
  }
  stayed?.();
  if (!always) return await execution.end();
  execution.cancel();
  throw tooManyInBackground();
}

async function executeIn(lease: Lease, input: Input, context: ToolContext): Promise<ExecutionOutput> {
  const { emit, signal, stdin: streamed, leaving } = context;
  const { session } = lease;
  const { code, background, stdin } = input;
  const about = identify(lease);
  if (emit !== ignoreEvents) await emit({ type: 'session', ...about });
  const options = toOptions(input, lease, context);
  if (background && !leaving?.always) {
    // Its call is over when it asks.
    const { id } = await session.start(codeText(code), { ...options, stdin, approvals: undefined });
    return { ...about, ...describeRunning(id) };
  }
  const onEvent = toListener(emit);
  if (leaving) {
    const timeoutMs = options.timeoutMs ?? (background ? session.limits.maxTimeoutS * 1000 : undefined);
    const execution = session.begin(codeText(code), { ...options, timeoutMs, stdin, onEvent, signal });
    const result = await endOrLeave(execution, leaving);
    return result ? toOutput(result) : { ...about, ...describeRunning(execution.id) };
  }
  return toOutput(await session.run(codeText(code), { ...options, stdin: streamed ?? stdin, onEvent, signal }));
}

function toOptions(
  { context, reset_context, timeout_s, args, env, tools }: Input,
  { created }: Lease,
  toolContext: ToolContext,
) {
  return {
    approvals: toChannels(toolContext),
    timeoutMs: timeout_s === undefined ? undefined : timeout_s * 1000,
    context,
    resetContext: reset_context,
    args,
    env,
    tools,
    sessionCreated: created || undefined,
  };
}

/** Ways to a person for code that runs while its caller waits. */
function toChannels({ elicit, emit }: ToolContext): ApprovalChannels {
  return {
    elicit,
    onAsked: ({ id, server, tool }) =>
      void emit({ type: 'progress', message: `waits for a person: may it call ${server}.${tool}? (${id})` }),
  };
}

function toListener(emit: ToolContext['emit']): OnEvent | undefined {
  return emit === ignoreEvents ? undefined : (event) => emit(toToolEvent(event));
}
