import { GloveboxError } from '../errors.ts';
import type { Program } from '../execution/program.ts';
import type { ExecutionResult } from '../execution/result.ts';
import type { BackgroundExecution as CoreExecution } from '../sessions/background-execution.ts';
import type { SessionSummary } from '../sessions/identity.ts';
import type { InstallOptions, InstallResult } from '../sessions/install.ts';
import type { RunOptions as CoreRunOptions, StartOptions as CoreStartOptions } from '../sessions/run-code.ts';
import { type Access, type Held, inOurWords, orNever, rethrow } from './access.ts';
import { checkCommand, checkOptions, checkText, type Options, SIGNAL } from './check-options.ts';
import { type ClientToolOptions, toClientTools } from './client-tools.ts';
import { Files } from './files.ts';
import { guardListener } from './guard-listener.ts';
import { type Snapshot, toSnapshot } from './snapshots.ts';
import { Terminal, type TerminalOptions } from './terminal.ts';

/** Options for code that runs while its caller waits. */
export interface RunOptions extends Omit<CoreRunOptions, 'sessionCreated' | 'clock' | 'approvals' | 'clientTools'> {
  /** Tools of this program, by their names. The code calls them as `tools.client.NAME`. */
  readonly clientTools?: Readonly<Record<string, ClientToolOptions>> | undefined;
}

/** Options for code that runs in the background. */
export type StartOptions = Omit<CoreStartOptions, 'sessionCreated' | 'clock' | 'approvals'>;

/** Options for a command that runs while its caller waits. */
export interface CommandOptions extends Omit<RunOptions, 'args'> {
  /** Folder to run in, relative to the workspace. Default: the workspace. */
  readonly cwd?: string | undefined;
}

/** Options for a command that runs in the background. */
export interface StartCommandOptions extends Omit<StartOptions, 'args'> {
  /** Folder to run in, relative to the workspace. Default: the workspace. */
  readonly cwd?: string | undefined;
}

/** Execution that continues after the call that began it. Its session stays open until its end. */
export type BackgroundExecution = Pick<
  CoreExecution,
  | 'id'
  | 'program'
  | 'startedAt'
  | 'begunAt'
  | 'context'
  | 'status'
  | 'result'
  | 'cancel'
  | 'wait'
  | 'read'
  | 'write'
  | 'closeInput'
  | 'signal'
>;

const PROGRAM: Options = { timeoutMs: 'number', env: 'object of texts', tools: 'list of texts', web: 'list of texts' };
const IN_CONTEXT: Options = { context: 'text', resetContext: 'true or false' };
const CODE: Options = { ...PROGRAM, ...IN_CONTEXT, args: 'list of texts' };
const COMMAND: Options = { ...PROGRAM, ...IN_CONTEXT, cwd: 'text' };
const IN_BACKGROUND: Options = { stdin: 'text', stdinOpen: 'true or false' };
const FOLLOWED: Options = {
  stdin: 'text or stream of bytes',
  ...SIGNAL,
  onEvent: 'function',
  asBytes: 'true or false',
  clientTools: 'object of tools',
};

const TERMINAL: Options = {
  ...{ rows: 'number', cols: 'number', command: 'text or list of texts', cwd: 'text', env: 'object of texts' },
};

/** Session as its owner sees it. */
export interface SessionInfo {
  readonly id: string;
  readonly owner: string;
  /** A hibernated session has no sandbox until it is used again. */
  readonly state: 'active' | 'hibernated';
  readonly createdAt: Date;
  readonly lastUsedAt: Date;
  readonly expiresAt: Date;
  /** Number of running executions. */
  readonly running: number;
  /** Names of the live contexts. */
  readonly contexts: readonly string[];
  /** Patterns of hosts to which its code is narrowed. */
  readonly web?: readonly string[];
}

/**
 * Session of one owner, with its files and packages. A hibernated session wakes with its next call. Calls may run at the
 * same time; calls in one context wait for each other.
 */
export class Session implements AsyncDisposable {
  readonly id: string;
  readonly owner: string;
  /** Whether opening it created it. False if it existed before. */
  readonly created: boolean;
  readonly files: Files;
  readonly #access: Access;
  #isClosed = false;

  /** @internal */
  constructor(access: Access, identity: { readonly id: string; readonly owner: string; readonly created: boolean }) {
    this.#access = access;
    this.id = identity.id;
    this.owner = identity.owner;
    this.created = identity.created;
    this.files = new Files((signal) => this.#hold(signal));
  }

  /**
   * Runs Python code to its end. If the code fails, the result has a status; nothing is thrown.
   *
   * ```
   * const { status, stdout } = await session.run('print(6 * 7)', { timeoutMs: 5_000 });
   * ```
   * @throws GloveboxError `invalid_input`; `capacity_exceeded`, `engine_unavailable` when it cannot run at all
   */
  async run(code: string, options: RunOptions = {}): Promise<ExecutionResult> {
    checkText('session.run', 'The code', code);
    checkOptions('session.run', options, { ...CODE, ...FOLLOWED });
    return await this.#run(code, options);
  }

  /**
   * Runs a command to its end: a command line for the shell, or a program and its arguments, which no shell looks at.
   *
   * ```
   * const { stdout } = await session.command('ls -l | wc -l');
   * await session.command(['python3', 'report.py', '--year', '2026'], { cwd: 'reports' });
   * ```
   * @throws GloveboxError as `run` does
   */
  async command(command: string | readonly string[], options: CommandOptions = {}): Promise<ExecutionResult> {
    checkCommand('session.command', command);
    checkOptions('session.command', options, { ...COMMAND, ...FOLLOWED });
    const { cwd, ...others } = options;
    return await this.#run({ command, cwd }, others);
  }

  async #run(program: Program, options: RunOptions): Promise<ExecutionResult> {
    const listener = guardListener(options.onEvent, options.signal);
    const { onEvent, signal } = listener;
    const clientTools = options.clientTools && toClientTools(options.clientTools);
    using held = await this.#hold(signal);
    const result = await held.session.run(program, { ...options, clientTools, onEvent, signal, ...madeNow(held) });
    listener.check();
    return result;
  }

  /** Starts Python code in the background. @throws GloveboxError `invalid_input`; `session_busy` when too many run there */
  async start(code: string, options: StartOptions = {}): Promise<BackgroundExecution> {
    checkText('session.start', 'The code', code);
    checkOptions('session.start', options, { ...CODE, ...IN_BACKGROUND });
    using held = await this.#hold();
    return await held.session.start(code, { ...options, ...madeNow(held) });
  }

  /** Starts a command in the background. @throws GloveboxError as `start` does */
  async startCommand(
    command: string | readonly string[],
    options: StartCommandOptions = {},
  ): Promise<BackgroundExecution> {
    checkCommand('session.startCommand', command);
    checkOptions('session.startCommand', options, { ...COMMAND, ...IN_BACKGROUND });
    const { cwd, ...others } = options;
    using held = await this.#hold();
    return await held.session.start({ command, cwd }, { ...others, ...madeNow(held) });
  }

  /**
   * Opens a terminal: a PTY with a shell, or another program.
   *
   * ```
   * const terminal = await session.terminal({ rows: 24, cols: 80 });
   * terminal.attach({ onOutput: (bytes) => process.stdout.write(bytes) });
   * await terminal.type('ls\r');
   * ```
   * @throws GloveboxError `invalid_input`; `session_busy` when too many are open
   */
  async terminal(options: Partial<TerminalOptions> = {}): Promise<Terminal> {
    checkOptions('session.terminal', options, TERMINAL);
    using held = await this.#hold();
    return new Terminal(await held.session.terminals.open({ rows: 24, cols: 80, ...options }));
  }

  /** Lists the background executions of this session, the oldest first, with the last fifty that have ended. */
  get executions(): readonly BackgroundExecution[] {
    return inOurWords(() => this.#access.glovebox.sessions.get(this.owner, this.id)).background.list();
  }

  /**
   * Installs Python packages for later executions. The result names packages that failed.
   * @param packages names with optional extras and version specifiers, such as `numpy>=2`
   * @throws GloveboxError `invalid_input` for an invalid requirement
   */
  async install(packages: readonly string[], options: InstallOptions = {}): Promise<InstallResult> {
    if (!Array.isArray(packages) || packages.length === 0 || packages.some((name) => typeof name !== 'string')) {
      throw new GloveboxError('invalid_input', 'The packages are no list of names.', {
        hint: "Write them as session.install(['numpy>=2']).",
      });
    }
    checkOptions('session.install', options, { timeoutMs: 'number', onEvent: 'function', ...SIGNAL });
    const listener = guardListener(options.onEvent, options.signal);
    const { onEvent, signal } = listener;
    using held = await this.#hold(signal);
    const result = await held.session.install(packages, { ...options, onEvent, signal });
    listener.check();
    return result;
  }

  /** Ends a context with its variables, after the calls that wait for it. Succeeds if there is no such context. */
  async endContext(name: string, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    checkText('session.endContext', 'The name', name);
    checkOptions('session.endContext', options, SIGNAL);
    const { signal } = options;
    using held = await this.#hold(signal);
    await held.session.endContext(name, orNever(signal));
  }

  /** Describes the session without waking it. @throws GloveboxError `session_not_found` */
  info(): SessionInfo {
    return toInfo(
      this.owner,
      inOurWords(() => this.#access.glovebox.sessions.get(this.owner, this.id).summarize()),
    );
  }

  /** Creates a snapshot of its files and packages. Variables of contexts and running code are not copied. */
  async snapshot(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<Snapshot> {
    checkOptions('session.snapshot', options, SIGNAL);
    const { signal } = options;
    const { snapshots } = this.#access.glovebox;
    return toSnapshot(await snapshots.make(this.owner, this.id, orNever(signal)).catch(rethrow));
  }

  /** Creates a session as a copy of this one. @throws GloveboxError `invalid_input` for a name that is taken */
  async fork(
    options: { readonly name?: string | undefined; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Session> {
    checkOptions('session.fork', options, { name: 'text', ...SIGNAL });
    const { name, signal } = options;
    const { snapshots } = this.#access.glovebox;
    const { session_id: id } = await snapshots.fork(this.owner, this.id, name, orNever(signal)).catch(rethrow);
    return new Session(this.#access, { owner: this.owner, id, created: true });
  }

  /**
   * Archives the session and gives up its container at once. The next call brings back its files and packages; variables
   * of contexts are lost.
   * @throws GloveboxError `session_not_found`; `session_busy` while something runs in it
   */
  async hibernate(): Promise<void> {
    await this.#access.glovebox.sessions.hibernate(this.owner, this.id).catch(rethrow);
  }

  /** Removes the session with its contents and ends its code. Succeeds if it is gone already. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // After the Glovebox was closed, its sessions are gone too.
    if (this.#access.isClosed) return;
    try {
      await this.#access.glovebox.sessions.close(this.owner, this.id);
    } catch (error) {
      if (!(error instanceof GloveboxError) || error.code !== 'session_not_found') throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #hold(signal?: AbortSignal): Promise<Held> {
    if (!this.#isClosed) return await this.#access.hold(this.owner, this.id, signal);
    throw new GloveboxError('session_not_found', `The session ${this.id} is closed.`, {
      hint: 'Open another one with glovebox.sessions.open().',
    });
  }
}

/** @internal */
export function toInfo(owner: string, summary: SessionSummary): SessionInfo {
  const { session_id: id, state, running, contexts, web, created_at, last_used_at, expires_at } = summary;
  const times = {
    createdAt: new Date(created_at),
    lastUsedAt: new Date(last_used_at),
    expiresAt: new Date(expires_at),
  };
  return { id, owner, state, ...times, running, contexts, ...(web ? { web } : {}) };
}

function madeNow({ created }: Held): { sessionCreated?: true } {
  return created ? { sessionCreated: true } : {};
}
