import { GloveboxError } from '../errors.ts';
import type { Keep } from '../lib/reused-memory.ts';
import type { ExecutionClock } from './execution-clock.ts';
import type { FullReport } from './report.ts';

/** Shortest time that a call may wait for a place, in milliseconds. A call with a longer time limit may wait longer. */
const LEAST_PATIENCE_MS = 60_000;

/** Request to the runner. */
export interface ExecutionRequest {
  /** Kind of the request. Default: code. `command`: a program other than the interpreter. */
  readonly kind?: 'packages' | 'install' | 'files' | 'archive' | 'command' | 'terminal';
  readonly code?: string;
  /** For `command` and `terminal`: a command line for a shell, or a program and its arguments. A terminal has a shell by default. */
  readonly command?: string | readonly string[];
  /** Folder that the command runs in. Default: the workspace. */
  readonly cwd?: string;
  /** Arguments of the program: what follows its name in `sys.argv`. */
  readonly args?: readonly string[];
  /** Context to run the code in: an interpreter that continues to live. Default: a new process. */
  readonly context?: string;
  /** Context to end first. */
  readonly end_context?: string;
  /** The program's whole standard input. Default: empty. */
  readonly stdin?: string;
  /** Whether standard input is streamed instead. */
  readonly stdin_stream?: boolean;
  /** Most bytes of one display, and of all displays. Default: no displays. */
  readonly results?: { readonly limit: number; readonly total: number };
  /** How to keep long output in a file. */
  readonly keep?: KeepPolicy;
  /** Time limit of a background execution, which outlives this control plane. `keep.id` names it to the next one. */
  readonly background?: { readonly timeout_s: number };
  /** Operation of files/files.py for `files`, or of files/workspace.py for `archive`. */
  readonly file?: Readonly<Record<string, unknown>>;
  /** Packages to install, for `install`. */
  readonly packages?: readonly { readonly name: string; readonly requirement: string }[];
  /** Size of a terminal at its start. */
  readonly rows?: number;
  readonly cols?: number;
  /** Additional environment variables of the program. */
  readonly env?: Readonly<Record<string, string>>;
  /** Whether to start a new interpreter with that environment, instead of a fork of the runner. */
  readonly new_interpreter?: boolean;
}

/** How to keep long output in a file. */
export interface KeepPolicy {
  /** Name for the file. */
  readonly id: string;
  /** Bytes up to which no file is needed. */
  readonly inline: number;
  /** Most bytes of the file. */
  readonly limit: number;
  /** Most bytes of all such files together. */
  readonly total: number;
}

export type OutputStream = 'stdout' | 'stderr' | 'display';

/**
 * Takes output as it arrives. The program pauses until a returned promise settles. The memory of a chunk is used again once
 * the call has returned, unless it was kept.
 */
export type OutputSink = (stream: OutputStream, chunk: Buffer, keep: Keep) => void | Promise<void>;

export type Losable = 'files' | 'contexts' | 'packages' | 'background' | 'terminals';

/** What a session lost when a process or its whole sandbox ended. */
export interface SandboxReset {
  readonly reason:
    | 'runner_lost'
    | 'runner_incompatible'
    | 'would_not_end'
    | 'sandbox_lost'
    | 'context_ended'
    | 'hibernated'
    | 'archive_broken'
    | 'connection_lost'
    | 'server_stopped';
  readonly lost: readonly Losable[];
  /** Time of the checkpoint from which files were restored, in ISO 8601. Newer changes are lost. */
  readonly restoredFrom?: string | undefined;
}

/** How an execution was ended, from the gentlest means to the last. */
export type TerminationMeans = 'interrupt' | 'kill' | 'uid_kill' | 'replaced';

export type ExecutionStatus = 'ok' | 'error' | 'timeout' | 'cancelled' | 'out_of_memory' | 'crashed';

/** How an execution ended. */
export interface ExecutionEnd {
  readonly status: ExecutionStatus;
  /** Null when the program did not end by itself. */
  readonly exitCode: number | null;
  readonly report?: FullReport;
  /** Why the program could not run, if there is no report. */
  readonly failure?: string;
  readonly termination?: TerminationMeans;
  readonly reset?: SandboxReset;
  /** Whether its connection broke meanwhile. Later output is only in its files. */
  readonly reattached?: true;
  /** Context that it ran in. */
  readonly context?: { readonly name: string; readonly created: boolean; readonly alive: boolean };
}

/** A file on its way between a session and its client. */
export interface Transfer {
  /** Time of `performance.now()` since which the client has moved no byte. Undefined while bytes move. */
  readonly idleSince: number | undefined;
  /** Ends the transfer so that another can have its place. */
  end(): void;
}

/** Program that runs. */
export interface RunningProgram {
  /** Sends a signal to its process group. @throws GloveboxError `invalid_input` if its sandbox cannot */
  signal(number: number): void;
  /** What it has used so far. Undefined once it has ended, and if its sandbox cannot tell. */
  usage(): Promise<ProgramUsage | undefined>;
}

/** What a program that runs has used so far. */
export interface ProgramUsage {
  /** Processor time of all its processes in milliseconds, to ten of them. */
  readonly cpuMs: number;
  /** Bytes that it has written, as far as they were read. */
  readonly stdout: number;
  readonly stderr: number;
}

export interface ExecutionOptions {
  readonly timeoutMs: number;
  /** Clock of the time limit. Default: one that never stands still. */
  readonly clock?: ExecutionClock | undefined;
  readonly signal: AbortSignal;
  readonly onOutput: OutputSink;
  /** Called with what the execution waits for before it runs. */
  readonly onWait?: (message: string) => void;
  /** Called when its turn has come and it begins. */
  readonly onBegin?: () => void;
  /** Called when its request is on its way to the sandbox. */
  readonly onSent?: () => void;
  /** Called with the program when its request was sent, and when another connection has reached it again. */
  readonly onRunning?: ((program: RunningProgram) => void) | undefined;
  /** File transfer that the execution carries out, if any. */
  readonly transfer?: Transfer;
  /**
   * Standard input, streamed as fast as the program reads. If the stream fails, the execution is cancelled. A pair is sent
   * together. The next piece is asked for when the memory of the last one is no longer used.
   */
  readonly stdin?: AsyncIterable<Buffer | readonly [Buffer, Buffer]>;
}

/** Runs executions: a session or a single sandbox. */
export interface Executor {
  /** @throws GloveboxError when the program cannot run at all */
  execute(request: ExecutionRequest, options: ExecutionOptions): Promise<ExecutionEnd>;
}

/** Returns how long a call may wait before it runs, in milliseconds. */
export function patienceFor({ timeoutMs }: Pick<ExecutionOptions, 'timeoutMs'>): number {
  return Math.max(LEAST_PATIENCE_MS, timeoutMs);
}

/** Returns the end of an execution that was cancelled before it began. @throws GloveboxError if that was the reason */
export function endUnbegun({ reason }: AbortSignal): ExecutionEnd {
  if (reason instanceof GloveboxError) throw reason;
  return { status: 'cancelled', exitCode: null };
}
