import type { Display } from '../execution/displays.ts';
import type { ProgramKind } from '../execution/program.ts';
import type { ExecutionStatus } from '../execution/request.ts';
import type { BackgroundStatus } from '../execution/result.ts';
import type { SessionInfo } from '../library/session.ts';
import type { ClientTerminal, ClientTerminalOptions } from './terminal.ts';

/** Session, as commands show it. */
export type ClientSession = Omit<SessionInfo, 'owner'>;

/** Session that was opened for a command. */
export interface OpenedSession {
  readonly id: string;
  /** Whether it was created by that, and is empty. */
  readonly created: boolean;
}

/** Event of a running execution or installation. */
export type ClientEvent =
  | { readonly type: 'stdout' | 'stderr'; readonly text: string; readonly bytes?: Uint8Array | undefined }
  | { readonly type: 'display'; readonly display: Display }
  | { readonly type: 'progress'; readonly message: string };

/** Receives events as they happen. The program waits for a returned promise. */
export type OnClientEvent = (event: ClientEvent) => void | Promise<void>;

export interface CallOptions {
  /** Cancels the call, which then ends with the status `cancelled`. */
  readonly signal: AbortSignal;
  readonly onEvent: OnClientEvent;
  /** Time limit in milliseconds. Default: the server's own. */
  readonly timeoutMs?: number | undefined;
}

export interface OutputOptions extends Pick<CallOptions, 'signal' | 'onEvent'> {
  readonly follows: boolean;
}

export interface ProgramOptions extends CallOptions {
  /** Arguments of the program. */
  readonly args?: readonly string[] | undefined;
  /** Its standard input. Default: empty. */
  readonly stdin?: AsyncIterable<Uint8Array> | undefined;
  /** Patterns of hosts that it may reach. Default: those that its owner may reach. */
  readonly web?: readonly string[] | undefined;
}

/** How a command runs. */
export interface CommandSettings {
  /** Folder that it runs in, relative to the workspace. */
  readonly cwd?: string | undefined;
  /** Environment variables to add. */
  readonly env?: Readonly<Record<string, string>> | undefined;
}

export interface CommandOptions extends CommandSettings, CallOptions, Pick<ProgramOptions, 'stdin'> {
  /** Whether events of output have its bytes, instead of text. */
  readonly asBytes?: boolean | undefined;
}

export interface StartCommandOptions extends CommandSettings, Pick<CallOptions, 'timeoutMs'> {
  /** Whether its standard input stays open. */
  readonly stdinOpen?: boolean | undefined;
}

/** How a program ended. What it wrote has come as events. */
export interface ProgramEnd {
  readonly executionId: string;
  readonly status: ExecutionStatus;
  /** Null when the program did not end by itself. */
  readonly exitCode: number | null;
  /** Signal that ended a crashed program, such as `SIGSEGV`. */
  readonly signal?: string | undefined;
  /** Its uncaught exception, and what to do about it if that is known. */
  readonly error?: { readonly name: string; readonly hint?: string | undefined } | undefined;
  /** Limit that it met. */
  readonly limit?: { readonly name: string; readonly value: number | string; readonly setting: string } | undefined;
  /** Files in the workspace that it created or changed. */
  readonly files: readonly { readonly path: string; readonly size: number }[];
  /** What the session lost, by this execution or earlier. */
  readonly reset?: { readonly reason: string; readonly lost: readonly string[] } | undefined;
}

/** How an installation ended. */
export interface InstallEnd {
  readonly status: ExecutionStatus;
  readonly packages: readonly {
    readonly requested: string;
    readonly status: 'installed' | 'already_satisfied' | 'failed' | 'not_attempted';
    readonly version?: string | undefined;
    readonly error?: string | undefined;
  }[];
  readonly notes: readonly string[];
}

/** File or folder of a session. */
export interface ClientFile {
  readonly path: string;
  readonly type: 'file' | 'directory' | 'link' | 'other';
  /** Size in bytes. */
  readonly size: number;
}

/** One of the last executions. */
export interface ClientExecution {
  readonly id: string;
  readonly sessionId: string;
  readonly startedAt: Date;
  readonly status: BackgroundStatus;
  readonly isBackground: boolean;
  /** Whether it is a command. */
  readonly isCommand: boolean;
  /** The beginning of its code, or of its command. */
  readonly code: string;
  readonly durationMs?: number | undefined;
  /** The end of what it wrote, once it has ended. */
  readonly stdout?: string | undefined;
  readonly stderr?: string | undefined;
  /** Why it could not run. */
  readonly error?: string | undefined;
}

/** Execution that was begun in the background of a session. */
export interface ClientProgram extends Pick<ClientExecution, 'id' | 'startedAt' | 'status'> {
  /** Unknown of one that an earlier version began, and so is `code`. */
  readonly kind?: ProgramKind | undefined;
  /** The beginning of its code, or of its command. */
  readonly code?: string | undefined;
}

/** What a program reads next from its standard input; then the end of it, if that is to be closed. */
export interface ClientInput {
  readonly text?: string;
  readonly close?: boolean;
}

export interface ClientSnapshot {
  readonly id: string;
  readonly sessionId: string;
  /** Size of its files in bytes. */
  readonly size: number;
  readonly createdAt: Date;
}

/**
 * What commands for people do: over a server that runs, or with an engine of their own through the library. All calls
 * throw a GloveboxError that says what to do next.
 */
export interface Client extends AsyncDisposable {
  /** Where code runs, for people. */
  readonly place: string;
  /** Whether this is a server, which others use too, and whose settings commands cannot change. */
  readonly isServer: boolean;
  /** Opens the session of a name, or creates it. Without a name, creates one. */
  open(options: { readonly name?: string | undefined; readonly snapshot?: string | undefined }): Promise<OpenedSession>;
  /** Runs a program in a session that was opened. */
  run(session: string, code: string, options: ProgramOptions): Promise<ProgramEnd>;
  /** Runs a program with its arguments in a session that was opened, without a shell. */
  command(session: string, words: readonly string[], options: CommandOptions): Promise<ProgramEnd>;
  /** Begins a command in the background, and returns the id of the execution. */
  startCommand(session: string, words: readonly string[], options: StartCommandOptions): Promise<string>;
  install(session: string, packages: readonly string[], options: CallOptions): Promise<InstallEnd>;
  write(session: string, path: string, content: AsyncIterable<Uint8Array>): Promise<void>;
  read(session: string, path: string): AsyncIterable<Uint8Array>;
  /** Lists a file, or a folder with all that is in it. @throws GloveboxError `file_not_found` */
  list(session: string, path: string): Promise<{ readonly files: readonly ClientFile[]; readonly truncated: boolean }>;
  sessions(): Promise<readonly ClientSession[]>;
  /** The last executions, the newest first. */
  executions(): Promise<readonly ClientExecution[]>;
  /** What was begun in the background of a session: the last that have ended, and what runs; the oldest first. */
  programs(session: string): Promise<readonly ClientProgram[]>;
  /** Adds to the standard input of a background execution. @throws GloveboxError `session_busy` while it does not read */
  input(execution: string, input: ClientInput): Promise<void>;
  /** Sends a signal to a background execution. */
  signal(execution: string, name: string): Promise<void>;
  /** Tells all output of a background execution as events; until its end, if it is to be followed. */
  output(execution: string, options: OutputOptions): Promise<void>;
  /** Opens a terminal, or attaches to one, and shows it. */
  terminal(session: string, options: ClientTerminalOptions): Promise<ClientTerminal>;
  close(session: string): Promise<void>;
  snapshot(session: string): Promise<ClientSnapshot>;
  fork(session: string, name: string | undefined): Promise<OpenedSession>;
  snapshots(): Promise<readonly ClientSnapshot[]>;
  deleteSnapshot(id: string): Promise<void>;
}
