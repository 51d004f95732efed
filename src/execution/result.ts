import { constants } from 'node:os';
import { explainCommand } from './command-errors.ts';
import type { Display } from './displays.ts';
import { hintFor } from './error-hints.ts';
import type { MetLimit } from './limits-met.ts';
import type { FullReport, SeenProcess } from './report.ts';
import type { ExecutionEnd, ExecutionStatus, SandboxReset, TerminationMeans } from './request.ts';
import type { Timings } from './stopwatch.ts';
import type { ToolCall, ToolCallEvent } from './tool-access.ts';
import type { WebUse } from './web-summary.ts';

/** Result of one execution. A failed execution has a status; it does not throw. */
export interface ExecutionResult extends ExecutionIdentity, ExecutionOutput, Timings {
  /** `ok`: exit code 0. `error`: another exit code. `crashed`: ended by a signal, or lost with its sandbox. */
  readonly status: ExecutionStatus;
  /** Null when the program did not end by itself. */
  readonly exitCode: number | null;
  /** Signal that ended a crashed program, such as `SIGSEGV`. */
  readonly signal?: string | undefined;
  /** Uncaught Python exception; of a command, why it could not run. */
  readonly error?: ExecutionError | undefined;
  /** Context that it ran in. `created`: the context was new and empty. */
  readonly context?: { readonly name: string; readonly created: boolean; readonly alive: boolean } | undefined;
  /** Names of the session's live contexts, if it ran in a context. */
  readonly contexts?: readonly string[] | undefined;
  /** Files in the workspace that it created or changed. Paths are relative to the workspace; sizes are in bytes. */
  readonly files: readonly { readonly path: string; readonly size: number }[];
  /** How it was ended, if it did not end by itself. */
  readonly termination?: Termination | undefined;
  /** Limit that it met, and how to raise it. */
  readonly limit?: MetLimit | undefined;
  /** What the session lost, by this execution or earlier, that no earlier result reported. */
  readonly reset?: SandboxReset | undefined;
  /** Processor time of all its processes, in milliseconds. */
  readonly cpuMs?: number | undefined;
  readonly peakMemoryBytes?: number | undefined;
  /** Calls of tools that it made, at most 200. */
  readonly toolCalls?: readonly ToolCall[] | undefined;
  /** What it did on other hosts. */
  readonly web?: WebUse | undefined;
}

/** State of a background execution; after its end, the status of its result. */
export type BackgroundStatus = 'queued' | 'running' | ExecutionStatus;

/** Identifies an execution and its session. */
export interface ExecutionIdentity {
  readonly sessionId: string;
  /** Whether the session was created for this execution. */
  readonly sessionCreated?: true | undefined;
  /** Id of the execution. The files of its long output are named after it. */
  readonly executionId: string;
}

export type TextStream = 'stdout' | 'stderr';

/** Output of an execution, as far as the result contains it. */
export interface ExecutionOutput {
  /** Text with each line in its last state. The middle of a long text is left out. */
  readonly stdout: string;
  readonly stderr: string;
  /** Objects that the code displayed, in order. */
  readonly displays?: readonly Display[] | undefined;
  /** Streams that are not complete here. */
  readonly truncated?: Truncated | undefined;
}

export type Truncated = { readonly [Name in TextStream]?: CutStream | undefined };

/** Text stream of which a part is left out. */
export interface CutStream {
  /** Number of bytes left out. */
  readonly leftOutBytes: number;
  /** Size of the whole stream in bytes. */
  readonly totalBytes: number;
  /** File in the workspace that holds the stream from its beginning. */
  readonly file?: string | undefined;
  /** Size of that file in bytes. Smaller than `totalBytes` if the file reached its limit. */
  readonly fileBytes?: number | undefined;
}

/** Uncaught exception of the program, or why a command could not run. */
export interface ExecutionError {
  readonly name: string;
  readonly value: string;
  readonly traceback: string;
  /** Advice on the error, if there is any. */
  readonly hint?: string | undefined;
}

export interface Termination {
  readonly by: TerminationMeans;
  /** Stack of each thread when the time limit was reached, the innermost frame last. */
  readonly stacks?: readonly { readonly thread: string; readonly frames: readonly string[] }[] | undefined;
  /** Processes of a command when its time limit was reached, parents before children. */
  readonly processes?: readonly SeenProcess[] | undefined;
}

/** Event of a running execution. Texts are valid Unicode and consist of complete characters. */
export type ExecutionEvent =
  | OutputEvent
  | { readonly type: 'display'; readonly display: Display }
  | ToolCallEvent
  | ProgressEvent;

/** Piece of a stream. */
export interface OutputEvent {
  readonly type: TextStream;
  /** Empty if bytes were asked for. */
  readonly text: string;
  /** The bytes as they were written, if they were asked for. */
  readonly bytes?: Uint8Array | undefined;
}

/** Current activity, for people. `queued` while the call waits for its turn. */
export interface ProgressEvent {
  readonly type: 'progress';
  readonly message: string;
  readonly status?: 'queued' | undefined;
}

/** Receives events as they happen. The program pauses until a returned promise settles. */
export type OnEvent<Event = ExecutionEvent> = (event: Event) => void | Promise<void>;

export interface ResultParts {
  readonly identity: ExecutionIdentity;
  readonly end: ExecutionEnd;
  readonly limit: MetLimit | undefined;
  /** Live contexts of the session. */
  readonly contexts: { readonly names: readonly string[] };
  readonly output: ExecutionOutput;
  readonly timings: Timings;
}

/** Assembles the result of an execution. */
export function toResult({ identity, end, limit, contexts, output, timings }: ResultParts): ExecutionResult {
  const { report, status, termination: by } = end;
  const stacks = status === 'timeout' && report?.stacks.length ? { stacks: report.stacks } : {};
  const processes = status === 'timeout' && report?.processes?.length ? { processes: report.processes } : {};
  const error = errorOf(end, identity, output);
  return {
    ...identity,
    ...(end.context ? { context: end.context, contexts: contexts.names } : {}),
    status,
    exitCode: end.exitCode,
    ...(status === 'crashed' && report?.signal ? { signal: nameOfSignal(report.signal) } : {}),
    ...(error ? { error } : {}),
    files: report?.files ?? [],
    ...(by ? { termination: { by, ...stacks, ...processes } } : {}),
    ...(limit ? { limit } : {}),
    ...(end.reset ? { reset: end.reset } : {}),
    ...(report ? { cpuMs: report.cpu_ms, peakMemoryBytes: report.peak_memory_bytes } : {}),
    ...output,
    ...timings,
  };
}

function errorOf(
  { status, report }: ExecutionEnd,
  identity: ExecutionIdentity,
  { stderr }: ExecutionOutput,
): ExecutionError | undefined {
  if (!report || status === 'ok') return undefined;
  if (report.command) return explainCommand(report, stderr);
  return report.error ? toError(report.error, identity) : undefined;
}

function toError(error: NonNullable<FullReport['error']>, session: ExecutionIdentity): ExecutionError {
  const { name, value, traceback } = error;
  const hint = hintFor(error, session);
  return { name, value, traceback, ...(hint === undefined ? {} : { hint }) };
}

function nameOfSignal(number: number): string {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? `signal ${number}`;
}
