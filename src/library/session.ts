import { GloveboxError } from '../errors.ts';
import type { ExecutionResult } from '../execution/result.ts';
import type { BackgroundExecution as CoreExecution } from '../sessions/background-execution.ts';
import type { SessionSummary } from '../sessions/identity.ts';
import type { InstallOptions, InstallResult } from '../sessions/install.ts';
import type { RunOptions as CoreRunOptions, StartOptions as CoreStartOptions } from '../sessions/run-code.ts';
import { type Access, type Held, inOurWords, orNever, rethrow } from './access.ts';
import { checkOptions, checkText, type Options, SIGNAL } from './check-options.ts';
import { type ClientToolOptions, toClientTools } from './client-tools.ts';
import { Files } from './files.ts';
import { guardListener } from './guard-listener.ts';
import { type Snapshot, toSnapshot } from './snapshots.ts';

/** Options for code that runs while its caller waits. */
export interface RunOptions extends Omit<CoreRunOptions, 'sessionCreated' | 'clock' | 'approvals' | 'clientTools'> {
  /** Tools of this program, by their names. The code calls them as `tools.client.NAME`. */
  readonly clientTools?: Readonly<Record<string, ClientToolOptions>> | undefined;
}

/** Options for code that runs in the background. */
export type StartOptions = Omit<CoreStartOptions, 'sessionCreated' | 'clock' | 'approvals'>;

/** Execution that continues after the call that began it. Its session stays open until its end. */
export type BackgroundExecution = Pick<
  CoreExecution,
  'id' | 'startedAt' | 'context' | 'status' | 'result' | 'cancel' | 'wait' | 'read'
>;

const CODE: Options = {
  timeoutMs: 'number',
  context: 'text',
  resetContext: 'true or false',
  args: 'list of texts',
  env: 'object of texts',
  tools: 'list of texts',
};
const START: Options = { ...CODE, stdin: 'text' };
const RUN: Options = {
  ...CODE,
  stdin: 'text or stream of bytes',
  ...SIGNAL,
  onEvent: 'function',
  clientTools: 'object of tools',
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
    checkOptions('session.run', options, RUN);
    const listener = guardListener(options.onEvent, options.signal);
    const { onEvent, signal } = listener;
    const clientTools = options.clientTools && toClientTools(options.clientTools);
    using held = await this.#hold(signal);
    const result = await held.session.run(code, { ...options, clientTools, onEvent, signal, ...madeNow(held) });
    listener.check();
    return result;
  }

  /** Starts Python code in the background. @throws GloveboxError `invalid_input`; `session_busy` when too many run there */
  async start(code: string, options: StartOptions = {}): Promise<BackgroundExecution> {
    checkText('session.start', 'The code', code);
    checkOptions('session.start', options, START);
    using held = await this.#hold();
    return await held.session.start(code, { ...options, ...madeNow(held) });
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
  const { session_id: id, state, running, contexts, created_at, last_used_at, expires_at } = summary;
  const times = {
    createdAt: new Date(created_at),
    lastUsedAt: new Date(last_used_at),
    expiresAt: new Date(expires_at),
  };
  return { id, owner, state, ...times, running, contexts };
}

function madeNow({ created }: Held): { sessionCreated?: true } {
  return created ? { sessionCreated: true } : {};
}
