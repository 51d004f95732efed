import { randomBytes } from 'node:crypto';
import { GloveboxError } from '../errors.ts';
import { type ExecutionLimits, metLimit } from '../execution/limits-met.ts';
import { OutputStreams } from '../execution/output-streams.ts';
import type { ExecutionRequest, Executor, KeepPolicy } from '../execution/request.ts';
import { type ExecutionIdentity, type ExecutionResult, type OnEvent, toResult } from '../execution/result.ts';
import { Stopwatch, toSeconds } from '../execution/stopwatch.ts';
import { needNewInterpreter, whyRefused } from '../execution/variables.ts';
import { displayLimits, readResult } from './background-result.ts';

/** Part of the session's disk that files of long output may take. */
const KEPT_PART = 1 / 4;
const MIB = 1024 * 1024;
const SHORTEST_TIMEOUT_MS = 1;
const CONTEXT_NAME = /^[A-Za-z0-9_-]{1,64}$/;
const VARIABLE_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;

export interface RunLimits extends ExecutionLimits {
  /** Bytes of each text stream in a result. */
  readonly outputLimit: number;
  /** Bytes of each longer stream that the session keeps in a file. */
  readonly outputKeepLimit: number;
  /** Bytes of one displayed object. */
  readonly resultLimit: number;
}

/** How code is to run in the background. */
export interface StartOptions {
  /** Milliseconds until it is ended; `exec_timeout_s` of the settings if left out, `max_timeout_s` in the background. */
  readonly timeoutMs?: number | undefined;
  /** Name of an interpreter that keeps its variables for later calls: letters, digits, "_" and "-", at most 64. */
  readonly context?: string | undefined;
  /** Whether that context is to start anew. */
  readonly resetContext?: boolean | undefined;
  /** The program's whole standard input; an empty one if left out. */
  readonly stdin?: string | undefined;
  /** Variables to add to the program's environment. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Whether the session was made for this call, so that what code misses in it may be in another. */
  readonly sessionCreated?: true | undefined;
}

/** How code is to run while its caller waits. */
export interface RunOptions extends StartOptions {
  /** Hears output and progress as they come. */
  readonly onEvent?: OnEvent | undefined;
  /** Cancels the execution; its result then says `cancelled`. */
  readonly signal?: AbortSignal | undefined;
}

/** A session, as far as running code in it goes. */
export interface CodeSession extends Executor {
  readonly id: string;
  readonly limits: RunLimits;
  readonly contexts: { readonly names: string[] };
}

/** An execution whose options were checked. */
export interface PreparedExecution {
  readonly identity: ExecutionIdentity;
  readonly request: ExecutionRequest;
  readonly timeoutMs: number;
}

/** Whoever follows an execution. */
interface Follower extends Pick<RunOptions, 'onEvent'> {
  readonly signal: AbortSignal;
  /** Hears that its program is started, having waited for its turn. */
  readonly onBegin?: () => void;
}

/** Checks the options of an execution, and names it. @throws GloveboxError `invalid_input` */
export function prepareExecution(
  { id: sessionId, limits }: Pick<CodeSession, 'id' | 'limits'>,
  code: string,
  options: StartOptions,
  isBackground: boolean,
): PreparedExecution {
  const { context, resetContext, stdin, env, sessionCreated } = options;
  const defaultMs = (isBackground ? limits.maxTimeoutS : limits.execTimeoutS) * 1000;
  const { timeoutMs = defaultMs } = options;
  const problem = whyInvalid(options, timeoutMs, limits);
  if (problem !== undefined) throw new GloveboxError('invalid_input', problem);
  const executionId = `exe_${randomBytes(9).toString('base64url')}`;
  const request: ExecutionRequest = {
    code,
    ...(context === undefined ? {} : { context }),
    ...(context !== undefined && resetContext ? { end_context: context } : {}),
    ...(stdin === undefined ? {} : { stdin }),
    ...(env ? { env } : {}),
    ...(env && context === undefined && needNewInterpreter(Object.keys(env)) ? { new_interpreter: true } : {}),
    results: displayLimits(limits),
    keep: keepPolicy(executionId, limits, isBackground),
    ...(isBackground ? { background: { timeout_s: toSeconds(timeoutMs) } } : {}),
  };
  const identity = { sessionId, ...(sessionCreated ? { sessionCreated } : {}), executionId };
  return { identity, request, timeoutMs };
}

/**
 * Runs code to its end and makes its result.
 * @throws GloveboxError when it cannot run at all, as `Session.execute` does
 */
export async function runCode(
  session: CodeSession,
  { identity, request, timeoutMs }: PreparedExecution,
  { onEvent, signal, onBegin }: Follower,
): Promise<ExecutionResult> {
  const { limits } = session;
  const output = new OutputStreams(
    { outputLimit: limits.outputLimit, displays: displayLimits(limits), verbatim: request.background !== undefined },
    onEvent,
  );
  const stopwatch = new Stopwatch();
  const end = await session.execute(request, {
    timeoutMs,
    signal,
    onOutput: output.take,
    onWait: (message) => void onEvent?.({ type: 'progress', message, status: 'queued' }),
    onBegin: () => {
      stopwatch.begin();
      onBegin?.();
    },
  });
  const timings = stopwatch.read();
  if (end.reattached) return await readResult(session, { identity, timeoutMs, end, timings });
  await output.finish();
  const limit = metLimit(end, timeoutMs, limits);
  return toResult({ identity, end, limit, contexts: session.contexts, output: output.fold(end), timings });
}

function whyInvalid(
  { context, resetContext, env = {} }: StartOptions,
  timeoutMs: number,
  { maxTimeoutS }: RunLimits,
): string | undefined {
  if (!(timeoutMs >= SHORTEST_TIMEOUT_MS && timeoutMs <= maxTimeoutS * 1000))
    return `timeoutMs is from ${SHORTEST_TIMEOUT_MS} to ${maxTimeoutS * 1000}, not ${timeoutMs}.`;
  if (context !== undefined && !CONTEXT_NAME.test(context))
    return 'The name of a context is 1 to 64 letters, digits, "_" or "-".';
  if (context === undefined && resetContext) return 'There is no context named; say which is to start anew.';
  for (const [name, value] of Object.entries(env)) {
    const problem = VARIABLE_NAME.test(name) ? whyRefused(name, value, context !== undefined) : 'it is no name';
    if (problem) return `The variable ${JSON.stringify(name.slice(0, 64))} cannot be set: ${problem}.`;
  }
  return undefined;
}

/** A background execution's output is read from its file while it runs, so that begins at once. */
function keepPolicy(id: string, limits: RunLimits, isBackground: boolean): KeepPolicy {
  const total = Math.floor(limits.diskMb * MIB * KEPT_PART);
  const limit = Math.min(limits.outputKeepLimit, Math.floor(total / 2));
  return { id, inline: isBackground ? 0 : limits.outputLimit, limit, total };
}
