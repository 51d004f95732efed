import { GloveboxError } from '../errors.ts';
import type { FullReport } from './report.ts';

/** A call waits for a place as long as it may run, and at least so many milliseconds. */
const LEAST_PATIENCE_MS = 60_000;

/** What the runner is asked to run. */
export interface ExecutionRequest {
  /** `code` unless it says otherwise. */
  readonly kind?: 'packages' | 'install' | 'files' | 'archive';
  readonly code?: string;
  /** The interpreter that the code runs in and that lives on; a process of its own when left out. */
  readonly context?: string;
  /** Names a context that is ended first. */
  readonly end_context?: string;
  /** The program's whole standard input; an empty one when left out. */
  readonly stdin?: string;
  /** Whether standard input is streamed instead. */
  readonly stdin_stream?: boolean;
  /** Bytes of one rich result, and of all; no rich results when left out. */
  readonly results?: { readonly limit: number; readonly total: number };
  /** Output beyond `inline` bytes goes to a file named after `id`: `limit` bytes of it, `total` of all such files. */
  readonly keep?: KeepPolicy;
  /** Set for an execution that outlives this control plane, for so many seconds in all; `keep` names it to the next one. */
  readonly background?: { readonly timeout_s: number };
  /** For `files` an operation of files/files.py, for `archive` one of files/workspace.py. */
  readonly file?: Readonly<Record<string, unknown>>;
  /** Packages to `install`. */
  readonly packages?: readonly { readonly name: string; readonly requirement: string }[];
  /** Added to the program's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Whether an interpreter is to start with that environment, instead of one that was forked from the runner. */
  readonly new_interpreter?: boolean;
}

export interface KeepPolicy {
  readonly id: string;
  readonly inline: number;
  readonly limit: number;
  readonly total: number;
}

export type OutputStream = 'stdout' | 'stderr' | 'display';

/** Takes output as it comes; a promise holds the program back until it settles. */
export type OutputSink = (stream: OutputStream, chunk: Buffer) => void | Promise<void>;

export type Losable = 'files' | 'contexts' | 'packages' | 'background';

/** What was lost besides the execution when a process, or the whole sandbox, had to be ended. */
export interface SandboxReset {
  readonly reason:
    | 'runner_lost'
    | 'runner_incompatible'
    | 'would_not_end'
    | 'sandbox_lost'
    | 'context_ended'
    | 'hibernated'
    | 'archive_broken';
  readonly lost: readonly Losable[];
  /** The time of the checkpoint that files came back from, ISO 8601: files that are lost are newer. */
  readonly restoredFrom?: string | undefined;
}

/** How an execution that had to be ended was ended, from the gentlest means to the last. */
export type TerminationMeans = 'interrupt' | 'kill' | 'uid_kill' | 'replaced';

export type ExecutionStatus = 'ok' | 'error' | 'timeout' | 'cancelled' | 'out_of_memory' | 'crashed';

/** The one end of an execution. */
export interface ExecutionEnd {
  readonly status: ExecutionStatus;
  /** Null when the program did not end by itself. */
  readonly exitCode: number | null;
  readonly report?: FullReport;
  /** Why the program could not run, where the report does not say. */
  readonly failure?: string;
  readonly termination?: TerminationMeans;
  readonly reset?: SandboxReset;
  /** Whether its connection broke meanwhile: what it said since is in its files alone. */
  readonly reattached?: true;
  /** The context that it ran in. */
  readonly context?: { readonly name: string; readonly created: boolean; readonly alive: boolean };
}

/** A file on its way between a session and its client. */
export interface Transfer {
  /** Since when its client has given, or taken, no byte, on the clock of `performance.now()`; undefined while it does. */
  readonly idleSince: number | undefined;
  /** Ends it in favour of another. */
  end(): void;
}

export interface ExecutionOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly onOutput: OutputSink;
  /** Hears what it waits for, before it runs. */
  readonly onWait?: (message: string) => void;
  /** Hears that it begins, having waited for its turn. */
  readonly onBegin?: () => void;
  /** What the execution transfers between a file and a client, if it is that. */
  readonly transfer?: Transfer;
  /** Standard input, streamed as fast as the program reads; if it fails, the execution is cancelled. */
  readonly stdin?: AsyncIterable<Buffer>;
}

/** What runs executions: a session, or one sandbox. */
export interface Executor {
  /** @throws GloveboxError when the program cannot run at all */
  execute(request: ExecutionRequest, options: ExecutionOptions): Promise<ExecutionEnd>;
}

/** Milliseconds that a call with such a time limit waits until it runs, in all. */
export function patienceFor({ timeoutMs }: Pick<ExecutionOptions, 'timeoutMs'>): number {
  return Math.max(LEAST_PATIENCE_MS, timeoutMs);
}

/** The end of an execution that was left before it began. @throws GloveboxError where that is why it was ended */
export function endUnbegun({ reason }: AbortSignal): ExecutionEnd {
  if (reason instanceof GloveboxError) throw reason;
  return { status: 'cancelled', exitCode: null };
}
