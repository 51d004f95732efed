import { GloveboxError } from '../errors.ts';
import type { AdoptedExecution } from './adopted.ts';
import { Contexts } from './contexts.ts';
import type { ExecutionEnd, ExecutionOptions, ExecutionRequest, SandboxReset } from './execution.ts';
import type { JobRecords } from './job-records.ts';
import { Jobs } from './jobs.ts';
import { Limiter } from './limiter.ts';
import type { Entering, Load } from './load.ts';
import { type FinishJob, type Remains, restoreSession } from './restore.ts';
import type { Sandbox } from './sandbox.ts';

/** Calls of one session that may wait for a place. */
const QUEUE_LIMIT = 32;
const END_CONTEXT_MS = 10_000;
/** Reads and writes of a session's files at once, and lists of its packages. */
const LOOKUPS = 4;

/** Hears what the package gateway does for a session. */
export interface DownloadListener {
  /** Tells how far one file has come. */
  onDownload(download: Download): void;
  /** Tells what an installer was refused or could not get, in one sentence for people. */
  onProblem(problem: { readonly subject: string; readonly message: string }): void;
}

export interface Download {
  readonly file: string;
  readonly bytes: number;
  readonly total?: number;
  readonly cached: boolean;
}

/** A session as its owner sees it. Times are ISO 8601. */
export interface SessionSummary {
  session_id: string;
  created_at: string;
  last_used_at: string;
  expires_at: string;
  /** Executions under way. */
  running: number;
  /** Names of its live contexts. */
  contexts: string[];
}

export interface JobSummary {
  execution_id: string;
  started_at: string;
  running: boolean;
}

export interface SessionIdentity {
  readonly id: string;
  readonly owner: string;
  readonly createdAt: Date;
}

/** What a session needs of those that keep sandboxes and manifests. */
export interface SessionHost {
  /** A sandbox that is this session's from now on; its manifest is written. */
  claim(session: Session): Promise<Sandbox>;
  /** Forgets a sandbox that is gone. */
  disown(sandbox: Sandbox): void;
  /** Waits for a place among the executions of all sessions. */
  enter: Load['enter'];
  /** Takes note of an execution that has ended. */
  count: Load['count'];
  /** Notes what has changed of a session, for the next control plane. */
  note(session: Session): void;
  /** Where the background executions of a session are noted. */
  recordsOf(session: SessionIdentity): JobRecords;
}

/** A handle that its owner holds: one sandbox at a time, and the files in it. */
export class Session implements SessionIdentity {
  readonly id: string;
  readonly owner: string;
  readonly createdAt: Date;
  lastUsedAt: Date;
  expiresAt: Date;
  /** When the manifest was last written. */
  recordedAt = 0;
  /** Names the manifest of a sandbox that was gone when this control plane started. */
  formerKey: string | undefined;
  /** Calls that hold the session open. */
  uses = 0;
  /** Packages are installed by one call at a time. */
  readonly installs = new Limiter(1, QUEUE_LIMIT);
  readonly contexts = new Contexts();
  readonly jobs: Jobs;
  readonly records: JobRecords;
  readonly #downloadListeners = new Set<DownloadListener>();
  readonly #host: SessionHost;
  readonly #limiter: Limiter;
  /** Apart, so that a session can be looked at while all places are taken. */
  readonly #lookups = new Limiter(LOOKUPS, QUEUE_LIMIT);
  #sandbox: Promise<Sandbox> | undefined;
  readonly #forgotten = new WeakSet<Sandbox>();
  #closed = false;
  /** What a replaced sandbox lost, for the next result to tell. */
  #reset: SandboxReset | undefined;

  constructor(identity: SessionIdentity, host: SessionHost, concurrency: number, sandbox?: Sandbox) {
    this.id = identity.id;
    this.owner = identity.owner;
    this.createdAt = identity.createdAt;
    this.lastUsedAt = identity.createdAt;
    this.expiresAt = identity.createdAt;
    this.#host = host;
    this.records = host.recordsOf(identity);
    this.jobs = new Jobs({ records: this.records, onChange: () => host.note(this) });
    this.#limiter = new Limiter(concurrency, QUEUE_LIMIT);
    this.#sandbox = sandbox && Promise.resolve(sandbox);
  }

  /** Takes over what an earlier control plane left; the next result tells what was lost of it. */
  restore(remains: Remains, finish: FinishJob): void {
    this.#reset = restoreSession(this, remains, finish);
  }

  /** Gets the sandbox ready. @throws GloveboxError when there can be none now. */
  async open(): Promise<void> {
    await this.#current();
  }

  /**
   * Runs one program in the session's sandbox, in a new one if that is gone.
   * @throws GloveboxError when it cannot be run at all; `session_busy` when too many wait before it.
   */
  async execute(request: ExecutionRequest, options: ExecutionOptions): Promise<ExecutionEnd> {
    const places = await this.#enter(request, options).catch((error: unknown) => {
      if (options.signal.aborted) return undefined;
      throw error;
    });
    if (!places) return { status: 'cancelled', exitCode: null };
    using _places = places;
    options.onBegin?.();
    const started = performance.now();
    const end = await this.#executeOnce(request, options).catch((error: unknown) => {
      if (!(error instanceof GloveboxError) || error.code !== 'sandbox_lost') throw error;
      // Nothing of this program has run, so it may run in the sandbox's successor.
      return this.#executeOnce(request, options);
    });
    this.#host.count(request, end, performance.now() - started);
    return this.#settle(request, end);
  }

  /** Follows a background execution of an earlier control plane to its end. It runs already, so it waits for no place. */
  async resume(
    execution: AdoptedExecution,
    request: ExecutionRequest,
    options: Pick<ExecutionOptions, 'timeoutMs' | 'signal'>,
  ): Promise<ExecutionEnd> {
    const places = this.#enter(request, options).catch(() => undefined);
    const started = performance.now();
    try {
      const end = await this.#inSandbox((sandbox) => sandbox.resume(execution, request, options));
      this.#host.count(request, end, performance.now() - started);
      return this.#settle(request, end);
    } finally {
      void places.then((entered) => entered?.[Symbol.dispose]());
    }
  }

  /** Ends a context after the calls that wait for it; one that is not there is a success. */
  async endContext(name: string, signal: AbortSignal): Promise<void> {
    if (!this.contexts.has(name)) return;
    using _turn = await this.contexts.enter(name, signal);
    await this.execute({ code: '', end_context: name }, { timeoutMs: END_CONTEXT_MS, signal, onOutput: () => {} });
  }

  /** Its background executions, the newest last. */
  listJobs(): JobSummary[] {
    return this.jobs.list().map(({ id, startedAt, outcome }) => ({
      execution_id: id,
      started_at: startedAt.toISOString(),
      running: !outcome,
    }));
  }

  /** Lets a listener hear what is downloaded for this session, until disposed of. */
  listenToDownloads(listener: DownloadListener): Disposable {
    this.#downloadListeners.add(listener);
    return { [Symbol.dispose]: () => void this.#downloadListeners.delete(listener) };
  }

  /** Tells the listeners what the package gateway does for this session. */
  readonly downloads: DownloadListener = {
    onDownload: (download) => {
      for (const listener of this.#downloadListeners) listener.onDownload(download);
    },
    onProblem: (problem) => {
      for (const listener of this.#downloadListeners) listener.onProblem(problem);
    },
  };

  /** Removes the sandbox and all that is in it. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.jobs.abandon();
    this.jobs.cancelAll();
    this.records.removeAll();
    const sandbox = await this.#sandbox?.catch(() => undefined);
    if (!sandbox) return;
    await sandbox.remove();
    this.#host.disown(sandbox);
  }

  /** Lets go of the sandbox without removing it, for the next control plane to adopt. */
  async abandon(): Promise<void> {
    this.#closed = true;
    this.jobs.abandon();
    const sandbox = await this.#sandbox?.catch(() => undefined);
    await sandbox?.abandon();
  }

  summarize(): SessionSummary {
    return {
      session_id: this.id,
      created_at: this.createdAt.toISOString(),
      last_used_at: this.lastUsedAt.toISOString(),
      expires_at: this.expiresAt.toISOString(),
      running: this.#limiter.running,
      contexts: this.contexts.names,
    };
  }

  /** The key of the sandbox that the session has, if it has one now. */
  async sandboxKey(): Promise<string | undefined> {
    return (await this.#sandbox?.catch(() => undefined))?.key;
  }

  /**
   * First the context's turn, then one of the session's places, then one that all sessions share:
   * who waits for the one does not hold those after it.
   */
  async #enter(request: ExecutionRequest, options: Entering): Promise<Disposable> {
    const { kind, context } = request;
    const limiter = kind === 'files' || kind === 'packages' ? this.#lookups : this.#limiter;
    using stack = new DisposableStack();
    if (context !== undefined) stack.use(await this.contexts.enter(context, options.signal));
    stack.use(await limiter.enter(options.signal));
    stack.use(await this.#host.enter(this.owner, request, options));
    return stack.move();
  }

  /** Adds what is to be told of the session to the end of an execution. */
  #settle(request: ExecutionRequest, end: ExecutionEnd): ExecutionEnd {
    const before = this.contexts.names.join();
    const settled = this.contexts.settle(request, end);
    if (this.contexts.names.join() !== before) this.#host.note(this);
    // Its result is not what a caller sees next: what was lost is for that to tell.
    if (request.background) return settled;
    const reset = end.reset ? settled.reset : (this.#reset ?? settled.reset);
    // Not every caller of a file operation tells it: the next execution does.
    if (request.kind !== 'files') this.#reset = undefined;
    return reset ? { ...settled, reset } : settled;
  }

  async #executeOnce(request: ExecutionRequest, options: ExecutionOptions): Promise<ExecutionEnd> {
    return await this.#inSandbox((sandbox) => sandbox.execute(request, options));
  }

  async #inSandbox(use: (sandbox: Sandbox) => Promise<ExecutionEnd>): Promise<ExecutionEnd> {
    const sandbox = await this.#current();
    try {
      return await use(sandbox);
    } finally {
      if (sandbox.lost) this.#forget(sandbox);
    }
  }

  async #current(): Promise<Sandbox> {
    if (this.#closed) throw new GloveboxError('session_not_found', `The session ${this.id} was closed.`);
    this.#sandbox ??= this.#host.claim(this);
    const claim = this.#sandbox;
    try {
      return await claim;
    } catch (error) {
      if (this.#sandbox === claim) this.#sandbox = undefined;
      throw error;
    }
  }

  #forget(sandbox: Sandbox): void {
    // Several executions may lose one sandbox; by the time of the last there may be a new one.
    if (this.#forgotten.has(sandbox)) return;
    this.#forgotten.add(sandbox);
    this.#sandbox = undefined;
    const lost = this.contexts.loseAll() ? (['contexts'] as const) : [];
    this.#reset = { reason: 'sandbox_lost', lost: ['files', ...lost, 'packages', 'background'] };
    this.#host.disown(sandbox);
  }
}
