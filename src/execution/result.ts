import { constants } from 'node:os';
import type { Display } from './displays.ts';
import { hintFor } from './error-hints.ts';
import type { MetLimit } from './limits-met.ts';
import type { FullReport } from './report.ts';
import type { ExecutionEnd, ExecutionStatus, SandboxReset, TerminationMeans } from './request.ts';
import type { Timings } from './stopwatch.ts';

/** What came of one execution. A bad end is a status; it is not thrown. */
export interface ExecutionResult extends ExecutionIdentity, ExecutionOutput, Timings {
  /** `ok`: exit code 0. `error`: it ended by itself with another. `crashed`: a signal or a lost sandbox ended it. */
  readonly status: ExecutionStatus;
  /** Null when the program did not end by itself. */
  readonly exitCode: number | null;
  /** The signal that ended a program which crashed, such as `SIGSEGV`. */
  readonly signal?: string | undefined;
  /** The uncaught Python exception. */
  readonly error?: ExecutionError | undefined;
  /** The context that it ran in; `created`: it began empty. */
  readonly context?: { readonly name: string; readonly created: boolean; readonly alive: boolean } | undefined;
  /** Names of the session's live contexts, if it ran in one. */
  readonly contexts?: readonly string[] | undefined;
  /** Files in the workspace that it made or changed: paths from there on, sizes in bytes. */
  readonly files: readonly { readonly path: string; readonly size: number }[];
  /** How it was ended, if it did not end by itself. */
  readonly termination?: Termination | undefined;
  /** The limit that it met, and what raises it. */
  readonly limit?: MetLimit | undefined;
  /** What the session lost, by this execution or before it, that nobody was told of yet. */
  readonly reset?: SandboxReset | undefined;
  /** Processor time of all its processes. */
  readonly cpuMs?: number | undefined;
  readonly peakMemoryBytes?: number | undefined;
}

/** What an execution in the background waits for or does, then what it ended as. */
export type BackgroundStatus = 'queued' | 'running' | ExecutionStatus;

/** Which execution, of which session. */
export interface ExecutionIdentity {
  readonly sessionId: string;
  /** Whether the session was made for this execution. */
  readonly sessionCreated?: true | undefined;
  /** Names the execution, and the files of its long output. */
  readonly executionId: string;
}

export type TextStream = 'stdout' | 'stderr';

/** What an execution put out, as far as a result carries it. */
export interface ExecutionOutput {
  /** Each line in its last state; the middle of a long text is left out. */
  readonly stdout: string;
  readonly stderr: string;
  /** What the code displayed, in its order. */
  readonly displays?: readonly Display[] | undefined;
  /** The streams that are not here as a whole. */
  readonly truncated?: Truncated | undefined;
}

export type Truncated = { readonly [Name in TextStream]?: CutStream | undefined };

/** A text stream of which a part is left out. */
export interface CutStream {
  /** Bytes left out. */
  readonly leftOutBytes: number;
  /** Bytes of the whole stream. */
  readonly totalBytes: number;
  /** The file in the workspace that holds the stream from its beginning. */
  readonly file?: string | undefined;
  /** Bytes of that file; fewer than `totalBytes` if not all could be kept. */
  readonly fileBytes?: number | undefined;
}

/** An uncaught exception of the program. */
export interface ExecutionError {
  readonly name: string;
  readonly value: string;
  readonly traceback: string;
  /** What to do about it, where that is known. */
  readonly hint?: string | undefined;
}

export interface Termination {
  readonly by: TerminationMeans;
  /** Where each thread was when time was up, the innermost frame last. */
  readonly stacks?: readonly { readonly thread: string; readonly frames: readonly string[] }[] | undefined;
}

/** What an execution says while it runs. Texts are whole characters of valid Unicode. */
export type ExecutionEvent =
  | { readonly type: TextStream; readonly text: string }
  | { readonly type: 'display'; readonly display: Display }
  | ProgressEvent;

/** What is being done now, for people; `queued` while the call waits for its turn. */
export interface ProgressEvent {
  readonly type: 'progress';
  readonly message: string;
  readonly status?: 'queued' | undefined;
}

/** Hears events as they happen; a promise holds the program back until it settles. */
export type OnEvent<Event = ExecutionEvent> = (event: Event) => void | Promise<void>;

export interface ResultParts {
  readonly identity: ExecutionIdentity;
  readonly end: ExecutionEnd;
  readonly limit: MetLimit | undefined;
  /** The session's contexts that live. */
  readonly contexts: { readonly names: readonly string[] };
  readonly output: ExecutionOutput;
  readonly timings: Timings;
}

/** Puts together what came of an execution. */
export function toResult({ identity, end, limit, contexts, output, timings }: ResultParts): ExecutionResult {
  const { report, status, termination: by } = end;
  const stacks = status === 'timeout' && report?.stacks.length ? { stacks: report.stacks } : {};
  return {
    ...identity,
    ...(end.context ? { context: end.context, contexts: contexts.names } : {}),
    status,
    exitCode: end.exitCode,
    ...(status === 'crashed' && report?.signal ? { signal: nameOfSignal(report.signal) } : {}),
    ...(report?.error && status !== 'ok' ? { error: toError(report.error, identity) } : {}),
    files: report?.files ?? [],
    ...(by ? { termination: { by, ...stacks } } : {}),
    ...(limit ? { limit } : {}),
    ...(end.reset ? { reset: end.reset } : {}),
    ...(report ? { cpuMs: report.cpu_ms, peakMemoryBytes: report.peak_memory_bytes } : {}),
    ...output,
    ...timings,
  };
}

function toError(error: NonNullable<FullReport['error']>, session: ExecutionIdentity): ExecutionError {
  const { name, value, traceback } = error;
  const hint = hintFor(error, session);
  return { name, value, traceback, ...(hint === undefined ? {} : { hint }) };
}

function nameOfSignal(number: number): string {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? `signal ${number}`;
}
