import type { ExecutionClock } from '../execution/execution-clock.ts';
import { metLimit } from '../execution/limits-met.ts';
import { OutputStreams } from '../execution/output-streams.ts';
import { headOf, LISTED_LENGTH, type Program } from '../execution/program.ts';
import type { ExecutionOptions, ExecutionRequest, Executor } from '../execution/request.ts';
import { type ExecutionIdentity, type ExecutionResult, toResult } from '../execution/result.ts';
import { Stopwatch } from '../execution/stopwatch.ts';
import { type Span, within } from '../telemetry/trace.ts';
import { alsoTo, type CalledResult, foldAsCalled } from './attached/called-result.ts';
import { displayLimits, readResult } from './background-result.ts';
import { type AccessSession, type ExecutionAccess, openAccess } from './grants/execution-access.ts';
import { mintExecutionId } from './names.ts';
import { ProgramControl } from './processes/program-control.ts';
import { ProgramInput } from './program-input.ts';
import { checkProgram, toRequest } from './programs/program-request.ts';
import { isStream, type RunLimits, type RunOptions, type StartOptions } from './programs/run-options.ts';
import { followProgram, startProgramSpan } from './programs/traced-execution.ts';
import type { RecentExecutions } from './recent-executions.ts';

export type { RunLimits, RunOptions, StartOptions };

/** Part of a session that is needed to run code. */
export interface CodeSession extends Executor, AccessSession {
  readonly limits: RunLimits;
  readonly contexts: { readonly names: string[] };
  /** Keeps the last executions. */
  readonly recent: Pick<RecentExecutions, 'begin'>;
}

/** Execution with checked options. */
export interface PreparedExecution {
  readonly identity: ExecutionIdentity;
  readonly program: Program;
  readonly request: ExecutionRequest;
  readonly timeoutMs: number;
  readonly clock: ExecutionClock | undefined;
  /** Its access to tools and other hosts, which whoever prepared it ends. */
  readonly access: ExecutionAccess | undefined;
  /** What can be done to it while it runs. */
  readonly control: ProgramControl;
  /** Undefined where nothing is traced. It ends with the execution. */
  readonly span: Span | undefined;
}

/** Returns what lists and records tell of an execution in the background. */
export function factsOf({ program, request, timeoutMs, access, control }: PreparedExecution) {
  return { timeoutMs, context: request.context, program: headOf(program, LISTED_LENGTH), control, access };
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
export type PreparingSession = Pick<CodeSession, 'limits' | keyof AccessSession>;

/**
 * Checks the options of an execution, and gives it an id and its access to tools and other hosts.
 * @throws GloveboxError `invalid_input`
 */
export function prepareExecution(
  session: PreparingSession,
  program: Program,
  options: Omit<RunOptions, 'signal'> & Pick<StartOptions, 'stdinOpen'>,
  isBackground: boolean,
): PreparedExecution {
  const { id: sessionId, limits } = session;
  const defaultMs = (isBackground ? limits.maxTimeoutS : limits.execTimeoutS) * 1000;
  const { timeoutMs = defaultMs, sessionCreated } = options;
  const call = { program, options, timeoutMs, limits };
  checkProgram(call);
  const executionId = mintExecutionId(sessionId);
  const request = toRequest(call, executionId, isBackground);
  const identity = { sessionId, ...(sessionCreated ? { sessionCreated } : {}), executionId };
  const span = startProgramSpan(session, executionId, request);
  const { access, clock, env } = within(span?.context, () => openAccess(session, executionId, options));
  const control = new ProgramControl({ isInputOpen: options.stdinOpen === true });
  if (typeof options.stdin === 'string') control.input?.write(Buffer.from(options.stdin));
  return { identity, program, timeoutMs, request: env ? { ...request, env } : request, clock, access, control, span };
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
  const { access, identity, program } = prepared;
  const { context, background } = prepared.request;
  const isBackground = background !== undefined && !follower.onCalled;
  const recorder = session.recent.begin(session, { id: identity.executionId, isBackground, context, program });
  const onBegin = () => {
    recorder.begun();
    follower.onBegin?.();
  };
  const tell = (result: ExecutionResult) => access?.tellIn(result) ?? result;
  // What it has asked of others ends at once, while the code itself is given time.
  if (access) follower.signal.addEventListener('abort', () => access[Symbol.dispose](), { once: true });
  try {
    const { onCalled } = follower;
    const asCalled = onCalled && {
      onCalled: ({ result, spare }: CalledResult) => onCalled({ result: tell(result), spare }),
    };
    const run = () => followCode(session, prepared, { ...follower, onBegin, ...asCalled });
    const result = tell(await followProgram(prepared.span, run));
    recorder.ended(result);
    return result;
  } catch (error) {
    recorder.failed(error);
    throw error;
  }
}

async function followCode(
  session: CodeSession,
  { identity, request, timeoutMs, clock, control }: PreparedExecution,
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
  const stream = input?.pieces() ?? control.input;
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
    ...(stream ? { stdin: stream } : {}),
    onRunning: control.attach,
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
  const contexts = session.contexts.names;
  const limit = metLimit(end, timeoutMs, limits, { stderr: folded.stderr, contexts });
  const parts = { identity, end, limit, contexts: session.contexts, output: folded, timings };
  if (text) {
    const about = { executionId: identity.executionId, outputLimit: limits.outputLimit };
    const { output: asCalled, spare } = await foldAsCalled(text, end, parts.output, about);
    onCalled?.({ result: toResult({ ...parts, output: asCalled }), spare });
  }
  return toResult(parts);
}
