import type { ApprovalChannels } from '../../approvals/approvals.ts';
import { GloveboxError } from '../../errors.ts';
import type { Program } from '../../execution/program.ts';
import type { ExecutionResult, OnEvent } from '../../execution/result.ts';
import type { ClientTool } from '../../execution/tool-access.ts';
import type { AttachedExecution } from '../../sessions/attached/attached-execution.ts';
import { tooManyInBackground } from '../../sessions/background-executions.ts';
import type { HeldExecution } from '../../sessions/held-executions.ts';
import type { Lease } from '../../sessions/sessions.ts';
import { identify } from '../common-fields.ts';
import { type ExecutionOutput, toOutput } from '../execution-output.ts';
import { leaseSession } from '../lease-session.ts';
import { ignoreEvents, type Leaving, type ToolContext, toToolEvent } from '../tool.ts';
import type { ProgramInput } from './program-fields.ts';

/** Runs a program in the session of a call. @throws GloveboxError when it cannot run at all */
export async function runProgram(
  program: Program,
  input: ProgramInput,
  context: ToolContext,
): Promise<ExecutionOutput> {
  if (context.stdin && (input.stdin !== undefined || input.background || input.context !== undefined)) {
    throw new GloveboxError(
      'invalid_input',
      'A streamed standard input is for a program that runs in a process of its own.',
      {
        hint: 'Leave out "stdin", "background" and "context", or send the input as "stdin".',
      },
    );
  }
  if (input.stdin_open && (!input.background || input.context !== undefined || context.leaving?.always)) {
    throw new GloveboxError('invalid_input', 'Standard input stays open in the background, without a context.', {
      hint: 'Send "background": true with "stdin_open", or leave it out and send the input as "stdin".',
    });
  }
  const lease = await leaseSession(context, input.session_id);
  try {
    return await runIn(lease, program, input, context);
  } finally {
    lease[Symbol.dispose]();
  }
}

/** The same with tools of the caller's own. @throws GloveboxError `invalid_input` in the background: nobody would answer */
export async function holdProgram(
  program: Program,
  input: ProgramInput,
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
  return sessions.held.hold(lease.session, program, clientTools, options);
}

async function runIn(
  lease: Lease,
  program: Program,
  input: ProgramInput,
  context: ToolContext,
): Promise<ExecutionOutput> {
  const { emit, signal, stdin: streamed, asBytes, leaving } = context;
  const { session } = lease;
  const { background, stdin } = input;
  const about = identify(lease);
  if (emit !== ignoreEvents) await emit({ type: 'session', ...about });
  const options = toOptions(input, lease, context);
  if (background && !leaving?.always) {
    // Its call is over when it asks.
    const { id } = await session.start(program, {
      ...options,
      stdin,
      stdinOpen: input.stdin_open,
      approvals: undefined,
    });
    return { ...about, ...describeRunning(id) };
  }
  const onEvent = toListener(emit);
  if (leaving) {
    const timeoutMs = options.timeoutMs ?? (background ? session.limits.maxTimeoutS * 1000 : undefined);
    const execution = session.begin(program, { ...options, timeoutMs, stdin, onEvent, signal });
    const result = await endOrLeave(execution, leaving);
    return result ? toOutput(result) : { ...about, ...describeRunning(execution.id) };
  }
  return toOutput(await session.run(program, { ...options, stdin: streamed ?? stdin, asBytes, onEvent, signal }));
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

function toOptions(
  { context, reset_context, timeout_s, args, env, tools, web }: ProgramInput,
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
    web,
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
