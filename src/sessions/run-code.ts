import { ExecutionClock } from '../execution/execution-clock.ts';
import { metLimit } from '../execution/limits-met.ts';
import { OutputStreams } from '../execution/output-streams.ts';
import { headOf, LISTED_LENGTH, type Program } from '../execution/program.ts';
import type { ExecutionOptions, ExecutionRequest, Executor } from '../execution/request.ts';
import { type ExecutionIdentity, type ExecutionResult, toResult, withCalls } from '../execution/result.ts';
import { Stopwatch } from '../execution/stopwatch.ts';
import type { ToolAccess, ToolGrant } from '../execution/tool-access.ts';
import { randomId } from '../lib/random-id.ts';
import { alsoTo, type CalledResult, foldAsCalled } from './attached/called-result.ts';
import type { BackgroundExecutions } from './background-executions.ts';
import { displayLimits, readResult } from './background-result.ts';
import { ProgramInput } from './program-input.ts';
import { checkProgram, toRequest } from './programs/program-request.ts';
import { isStream, type RunLimits, type RunOptions, type StartOptions } from './programs/run-options.ts';
import type { RecentExecutions } from './recent-executions.ts';

/** Variable with what code shows to call tools. */
const TOKEN_NAME = 'GLOVEBOX_TOOLS_TOKEN';

export type { RunLimits, RunOptions, StartOptions };

/** Part of a session that is needed to run code. */
export interface CodeSession extends Executor {
  readonly id: string;
  readonly limits: RunLimits;
  readonly contexts: { readonly names: string[] };
  readonly owner: string;
  /** Keeps the last executions. */
  readonly recent: Pick<RecentExecutions, 'begin'>;
  /** Gives executions access to tools. */
  readonly tools?: ToolAccess | undefined;
}

/** Execution with checked options. */
export interface PreparedExecution {
  readonly identity: ExecutionIdentity;
  readonly program: Program;
  readonly request: ExecutionRequest;
  readonly timeoutMs: number;
  readonly clock: ExecutionClock | undefined;
  /** Its access to tools, which whoever prepared it ends. */
  readonly grant: ToolGrant | undefined;
}

/** Returns what lists and records tell of an execution in the background. */
export function factsOf({ program, request, timeoutMs, grant }: PreparedExecution) {
  return { timeoutMs, context: request.context, program: headOf(program, LISTED_LENGTH), grant };
}

/** Code that follows an execution. */
interface Follower extends Pick<RunOptions, 'onEvent' | 'asBytes' | 'stdin'>, Pick<ExecutionOptions, 'onSent'> {
  readonly signal: AbortSignal;
  /** Called when it has to wait for its turn. */
  readonly onQueued?: () => void;
  /** Called when its program has started, after the wait for its turn. */
  readonly onBegin?: () => void;
  /** Called at the end of an execution of a call that may have been left. */
  readonly onCalled?: (called: CalledResult) => void;
}

/** Part of a session that is needed to prepare executions. */
export interface PreparingSession extends Pick<CodeSession, 'id' | 'owner' | 'limits' | 'tools'> {
  readonly background: Pick<BackgroundExecutions, 'record'>;
}

/**
 * Checks the options of an execution, and gives it an id and its access to tools.
 * @throws GloveboxError `invalid_input`
 */
export function prepareExecution(
  session: PreparingSession,
  program: Program,
  options: Omit<RunOptions, 'signal'>,
  isBackground: boolean,
): PreparedExecution {
  const { id: sessionId, limits } = session;
  const defaultMs = (isBackground ? limits.maxTimeoutS : limits.execTimeoutS) * 1000;
  const { timeoutMs = defaultMs, sessionCreated } = options;
  const call = { program, options, timeoutMs, limits };
  checkProgram(call);
  const executionId = `exe_${randomId(9)}`;
  const request = toRequest(call, executionId, isBackground);
  const identity = { sessionId, ...(sessionCreated ? { sessionCreated } : {}), executionId };
  return { identity, program, timeoutMs, ...grantTools(session, request, executionId, options) };
}

/** Gives an execution access to tools, if it is to have any. @throws GloveboxError `invalid_input` for unknown servers */
function grantTools(
  { owner, id: sessionId, tools, background }: PreparingSession,
  request: ExecutionRequest,
  executionId: string,
  options: Omit<RunOptions, 'signal'>,
): Pick<PreparedExecution, 'request' | 'clock' | 'grant'> {
  if (!tools) return { request, clock: options.clock, grant: undefined };
  const { tools: servers, clientTools, approvals, onEvent, clock = new ExecutionClock() } = options;
  const grant = tools.open({
    ...{ owner, sessionId, executionId, servers, clientTools, approvals, clock, onEvent },
    onRecord: () => background.record(executionId),
  });
  if (!grant) return { request, clock: options.clock, grant };
  return { request: { ...request, env: { ...request.env, [TOKEN_NAME]: grant.token } }, clock, grant };
}

/**
 * Runs code to its end and makes its result.
 * @throws GloveboxError when it cannot run, as `Session.execute` does
 */
export async function runCode(
  session: CodeSession,
  prepared: PreparedExecution,
  follower: Follower,
): Promise<ExecutionResult> {
  const { grant, identity, program } = prepared;
  const { context, background } = prepared.request;
  const isBackground = background !== undefined && !follower.onCalled;
  const recorder = session.recent.begin(session, { id: identity.executionId, isBackground, context, program });
  const onBegin = () => {
    recorder.begun();
    follower.onBegin?.();
  };
  // What it has asked of tools ends at once, while the code itself is given time.
  if (grant) follower.signal.addEventListener('abort', () => grant[Symbol.dispose](), { once: true });
  try {
    const { onCalled } = follower;
    const asCalled = onCalled && {
      onCalled: ({ result, spare }: CalledResult) => onCalled({ result: withCalls(result, grant), spare }),
    };
    const result = withCalls(await followCode(session, prepared, { ...follower, onBegin, ...asCalled }), grant);
    recorder.ended(result);
    return result;
  } catch (error) {
    recorder.failed(error);
    throw error;
  }
}

async function followCode(
  session: CodeSession,
  { identity, request, timeoutMs, clock }: PreparedExecution,
  { onEvent, asBytes, stdin, signal, onQueued, onBegin, onSent, onCalled }: Follower,
): Promise<ExecutionResult> {
  const { limits } = session;
  const displays = displayLimits(limits);
  const output = new OutputStreams(
    { outputLimit: limits.outputLimit, displays, verbatim: request.background !== undefined, asBytes },
    onEvent,
  );
  const text = onCalled && new OutputStreams({ outputLimit: limits.outputLimit, displays, verbatim: false });
  const stopwatch = new Stopwatch(clock);
  const input = isStream(stdin) ? new ProgramInput(stdin) : undefined;
  const ending = session.execute(request, {
    timeoutMs,
    clock,
    signal,
    onOutput: text ? alsoTo(text, output.take) : output.take,
    onWait: (message) => {
      onQueued?.();
      void onEvent?.({ type: 'progress', message, status: 'queued' });
    },
    ...(onSent ? { onSent } : {}),
    ...(input ? { stdin: input.pieces() } : {}),
    onBegin: () => {
      stopwatch.begin();
      onBegin?.();
    },
  });
  const end = await ending.finally(() => input?.close());
  input?.check();
  const timings = stopwatch.read();
  if (end.reattached) return await readResult(session, { identity, timeoutMs, end, timings });
  await output.finish();
  const folded = output.fold(end);
  const limit = metLimit(end, timeoutMs, limits, folded.stderr);
  const parts = { identity, end, limit, contexts: session.contexts, output: folded, timings };
  if (text) {
    const about = { executionId: identity.executionId, outputLimit: limits.outputLimit };
    const { output: asCalled, spare } = await foldAsCalled(text, end, parts.output, about);
    onCalled?.({ result: toResult({ ...parts, output: asCalled }), spare });
  }
  return toResult(parts);
}
