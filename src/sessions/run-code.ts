import { GloveboxError } from '../errors.ts';
import { ExecutionClock } from '../execution/execution-clock.ts';
import { type ExecutionLimits, metLimit } from '../execution/limits-met.ts';
import { OutputStreams } from '../execution/output-streams.ts';
import type { ExecutionOptions, ExecutionRequest, Executor, KeepPolicy } from '../execution/request.ts';
import {
  type ExecutionIdentity,
  type ExecutionResult,
  type OnEvent,
  toResult,
  withCalls,
} from '../execution/result.ts';
import { Stopwatch, toSeconds } from '../execution/stopwatch.ts';
import type { ClientTools, ToolAccess, ToolGrant, ToolRequest } from '../execution/tool-access.ts';
import { needNewInterpreter, whyRefused } from '../execution/variables.ts';
import { randomId } from '../lib/random-id.ts';
import { alsoTo, type CalledResult, foldAsCalled } from './attached/called-result.ts';
import type { BackgroundExecutions } from './background-executions.ts';
import { displayLimits, readResult } from './background-result.ts';
import { ProgramInput } from './program-input.ts';
import type { RecentExecutions } from './recent-executions.ts';

/** Fraction of the session's disk that files of long output may use. */
const KEPT_PART = 1 / 4;
const MIB = 1024 * 1024;
const SHORTEST_TIMEOUT_MS = 1;
const CONTEXT_NAME = /^[A-Za-z0-9_-]{1,64}$/;
/** Variable with what code shows to call tools. */
const TOKEN_NAME = 'GLOVEBOX_TOOLS_TOKEN';
const VARIABLE_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;

export interface RunLimits extends ExecutionLimits {
  /** Most bytes of each text stream in a result. */
  readonly outputLimit: number;
  /** Most bytes of a longer stream that the session keeps in a file. */
  readonly outputKeepLimit: number;
  /** Most bytes of one display. */
  readonly resultLimit: number;
}

interface CodeOptions {
  /** Time limit in milliseconds. Default: the setting `exec_timeout_s`, or `max_timeout_s` in the background. */
  readonly timeoutMs?: number | undefined;
  /** Name of a context, which keeps its variables for later calls: up to 64 letters, digits, "_" and "-". */
  readonly context?: string | undefined;
  /** Whether to reset that context first. */
  readonly resetContext?: boolean | undefined;
  /** Arguments of the program, which it finds in `sys.argv` after its own name. A context has none. */
  readonly args?: readonly string[] | undefined;
  /** Additional environment variables of the program. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Whether the session was created for this call. Then files that the code misses may be in another session. */
  readonly sessionCreated?: true | undefined;
  /** Clock of the time limit, if it is to stand still at times. */
  readonly clock?: ExecutionClock | undefined;
  /** Names of the servers whose tools it may call. Default: those that its owner has by default. */
  readonly tools?: readonly string[] | undefined;
  /** Ways to a person who can approve its calls of tools, besides those that all executions have. */
  readonly approvals?: ToolRequest['approvals'];
}

/** Options for code that runs in the background. */
export interface StartOptions extends CodeOptions {
  /** The program's whole standard input. Default: empty. */
  readonly stdin?: string | undefined;
}

/** Options for code that runs while its caller waits. */
export interface RunOptions extends CodeOptions {
  /**
   * The program's standard input: the whole as text, or a stream of bytes, which is read as fast as the program reads and
   * closed when the program ends. A context takes text only. Default: empty.
   */
  readonly stdin?: string | AsyncIterable<Uint8Array> | undefined;
  /** The caller's own tools. */
  readonly clientTools?: ClientTools | undefined;
  /** Called with output and progress as they arrive. */
  readonly onEvent?: OnEvent | undefined;
  /** Cancels the execution. The result then has the status `cancelled`. */
  readonly signal?: AbortSignal | undefined;
}

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
  readonly request: ExecutionRequest;
  readonly timeoutMs: number;
  readonly clock: ExecutionClock | undefined;
  /** Its access to tools, which whoever prepared it ends. */
  readonly grant: ToolGrant | undefined;
}

/** Code that follows an execution. */
interface Follower extends Pick<RunOptions, 'onEvent' | 'stdin'>, Pick<ExecutionOptions, 'onSent'> {
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
  code: string,
  options: Omit<RunOptions, 'signal'>,
  isBackground: boolean,
): PreparedExecution {
  const { id: sessionId, limits } = session;
  const { context, resetContext, args = [], stdin, env, sessionCreated } = options;
  const defaultMs = (isBackground ? limits.maxTimeoutS : limits.execTimeoutS) * 1000;
  const { timeoutMs = defaultMs } = options;
  const problem = whyInvalid(options, timeoutMs, limits);
  if (problem !== undefined) throw new GloveboxError('invalid_input', problem);
  const executionId = `exe_${randomId(9)}`;
  const request: ExecutionRequest = {
    code,
    ...(context === undefined ? {} : { context }),
    ...(context !== undefined && resetContext ? { end_context: context } : {}),
    ...(args.length > 0 ? { args } : {}),
    ...(typeof stdin === 'string' ? { stdin } : {}),
    ...(isStream(stdin) ? { stdin_stream: true } : {}),
    ...(env ? { env } : {}),
    ...(env && context === undefined && needNewInterpreter(Object.keys(env)) ? { new_interpreter: true } : {}),
    results: displayLimits(limits),
    keep: keepPolicy(executionId, limits, isBackground),
    ...(isBackground ? { background: { timeout_s: toSeconds(timeoutMs) } } : {}),
  };
  const identity = { sessionId, ...(sessionCreated ? { sessionCreated } : {}), executionId };
  return { identity, timeoutMs, ...grantTools(session, request, executionId, options) };
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
  const { grant } = prepared;
  const { code = '', context, background } = prepared.request;
  const isBackground = background !== undefined && !follower.onCalled;
  const recorder = session.recent.begin(session, { id: prepared.identity.executionId, isBackground, context, code });
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
  { onEvent, stdin, signal, onQueued, onBegin, onSent, onCalled }: Follower,
): Promise<ExecutionResult> {
  const { limits } = session;
  const displays = displayLimits(limits);
  const output = new OutputStreams(
    { outputLimit: limits.outputLimit, displays, verbatim: request.background !== undefined },
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
  const limit = metLimit(end, timeoutMs, limits);
  const parts = { identity, end, limit, contexts: session.contexts, output: output.fold(end), timings };
  if (text) {
    const about = { executionId: identity.executionId, outputLimit: limits.outputLimit };
    const { output: asCalled, spare } = await foldAsCalled(text, end, parts.output, about);
    onCalled?.({ result: toResult({ ...parts, output: asCalled }), spare });
  }
  return toResult(parts);
}

function whyInvalid(
  { context, resetContext, args = [], stdin, env = {} }: Pick<RunOptions, keyof CodeOptions | 'stdin'>,
  timeoutMs: number,
  { maxTimeoutS }: RunLimits,
): string | undefined {
  if (!(timeoutMs >= SHORTEST_TIMEOUT_MS && timeoutMs <= maxTimeoutS * 1000))
    return `timeoutMs is from ${SHORTEST_TIMEOUT_MS} to ${maxTimeoutS * 1000}, not ${timeoutMs}.`;
  if (context !== undefined && !CONTEXT_NAME.test(context))
    return 'The name of a context is 1 to 64 letters, digits, "_" or "-".';
  if (context === undefined && resetContext) return 'There is no context named; say which is to start anew.';
  if (context !== undefined && args.length > 0) return 'A context has no arguments: leave out one of the two.';
  if (context !== undefined && isStream(stdin)) return 'A context takes its standard input as text, not as a stream.';
  if (args.some((arg) => arg.includes('\0') || !arg.isWellFormed()))
    return 'An argument holds a NUL character or a lone surrogate, which no program can be given.';
  for (const [name, value] of Object.entries(env)) {
    const problem = VARIABLE_NAME.test(name) ? whyRefused(name, value, context !== undefined) : 'it is no name';
    if (problem) return `The variable ${JSON.stringify(name.slice(0, 64))} cannot be set: ${problem}.`;
  }
  return undefined;
}

/** Returns how to keep long output. The file of a background execution begins at once, because it is read while it runs. */
function keepPolicy(id: string, limits: RunLimits, isBackground: boolean): KeepPolicy {
  const total = Math.floor(limits.diskMb * MIB * KEPT_PART);
  const limit = Math.min(limits.outputKeepLimit, Math.floor(total / 2));
  return { id, inline: isBackground ? 0 : limits.outputLimit, limit, total };
}

function isStream(stdin: RunOptions['stdin']): stdin is AsyncIterable<Uint8Array> {
  return typeof stdin === 'object';
}
