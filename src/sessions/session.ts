import type { CopiedArchive } from '../archives/checkpoints.ts';
import type { ArchiveIdentity, ArchiveRecord } from '../archives/record.ts';
import { GloveboxError } from '../errors.ts';
import { inOrder } from '../execution/losses.ts';
import {
  type ExecutionEnd,
  type ExecutionOptions,
  type ExecutionRequest,
  endUnbegun,
  type Losable,
  patienceFor,
  type SandboxReset,
} from '../execution/request.ts';
import type { ExecutionResult } from '../execution/result.ts';
import { SessionFiles } from '../files/session-files.ts';
import { Disposables } from '../lib/disposables.ts';
import type { RunningExecution } from '../protocol/greeting.ts';
import { type ExecutionMetrics, outcomeOf } from '../scheduling/execution-metrics.ts';
import type { ExecutionScheduler } from '../scheduling/execution-scheduler.ts';
import { Limiter } from '../scheduling/limiter.ts';
import { SESSION_QUEUE_LIMIT, SessionPlaces } from '../scheduling/session-places.ts';
import type { BackgroundExecution } from './background-execution.ts';
import { BackgroundExecutions } from './background-executions.ts';
import type { BackgroundRecords } from './background-records.ts';
import { recoverBackground } from './background-result.ts';
import { Contexts } from './contexts.ts';
import type { SessionIdentity, SessionSummary } from './identity.ts';
import {
  type InstallLimits,
  type InstallOptions,
  type InstallResult,
  installPackages,
  type ParseRequirement,
} from './install.ts';
import { Downloads } from './installation.ts';
import { Lifetime, type LifetimeLimits } from './lifecycle/lifetime.ts';
import type { Remains } from './recovery.ts';
import { prepareExecution, type RunLimits, type RunOptions, runCode, type StartOptions } from './run-code.ts';
import type { SandboxOwners } from './sandbox-owners.ts';
import { type FormerState, type HibernationOutcome, type SandboxHost, SessionSandbox } from './session-sandbox.ts';

const END_CONTEXT_MS = 10_000;

/** What all sessions of a control plane stand on. */
export interface SessionHost extends SandboxHost {
  readonly limits: LifetimeLimits &
    RunLimits &
    InstallLimits & {
      /** Executions of one session at once. */
      readonly concurrency: number;
    };
  readonly parseRequirement: ParseRequirement;
  readonly owners: SandboxHost['owners'] & Pick<SandboxOwners, 'isOutdated'>;
  readonly scheduler: Pick<ExecutionScheduler, 'enter'>;
  readonly metrics: Pick<ExecutionMetrics, 'count'>;
  /** Finds the records of a session's background executions. */
  readonly recordsOf: (session: SessionIdentity) => BackgroundRecords;
  /** Writes down what has changed of a session, for the next control plane. */
  readonly record: (session: Session) => void;
}

/** A handle that its owner holds: one sandbox at a time, and the files in it. */
export class Session implements SessionIdentity {
  readonly id: string;
  readonly owner: string;
  readonly createdAt: Date;
  readonly lifetime: Lifetime;
  /** Packages are installed by one call at a time. */
  readonly installs = new Limiter(1, SESSION_QUEUE_LIMIT);
  /** What the package gateway does for this session. */
  readonly downloads = new Downloads();
  /** Its files, by paths from its workspace on. */
  readonly files = new SessionFiles({
    execute: async (request, options) => {
      using _held = this.use();
      return await this.execute(request, options);
    },
  });
  readonly contexts = new Contexts();
  readonly background: BackgroundExecutions;
  readonly records: BackgroundRecords;
  readonly #host: SessionHost;
  readonly #places: SessionPlaces;
  readonly #sandbox: SessionSandbox;

  /** @param from what there is of it already */
  constructor(identity: SessionIdentity, host: SessionHost, from: FormerState = {}) {
    const { limits, scheduler } = host;
    this.id = identity.id;
    this.owner = identity.owner;
    this.createdAt = identity.createdAt;
    this.lifetime = new Lifetime(identity.createdAt, limits, () => this.#sandbox.archiveExpiry);
    this.#host = host;
    this.records = host.recordsOf(identity);
    this.background = new BackgroundExecutions({
      session: this,
      records: this.records,
      onChange: () => host.record(this),
    });
    this.#places = new SessionPlaces({
      owner: identity.owner,
      concurrency: limits.concurrency,
      scheduler,
      enterContext: (name, options) => this.contexts.enter(name, options),
    });
    this.#sandbox = new SessionSandbox(this, host, from);
  }

  /** Whether its archive is all there is of it. */
  get isHibernated(): boolean {
    return this.#sandbox.isHibernated;
  }

  /** Whether executions are under way. */
  get isBusy(): boolean {
    return this.#places.running > 0;
  }

  /** The record of its archive as it is now. */
  get record(): ArchiveRecord | undefined {
    return this.#sandbox.record;
  }

  /** Takes over what an earlier control plane left; the next result tells what was lost of it. */
  recover({ contexts, runnerState, sandboxLost }: Remains): void {
    const reason = sandboxLost ?? 'runner_lost';
    const lost = new Set<Losable>(sandboxLost ? ['files', 'packages', 'background'] : []);
    if (this.contexts.recover(contexts, runnerState?.contexts ?? [])) lost.add('contexts');
    if (recoverBackground(this, runnerState?.executions ?? new Map(), reason)) lost.add('background');
    if (lost.size > 0) this.addLoss({ reason, lost: inOrder(lost) }, { withSandbox: sandboxLost !== undefined });
  }

  /** Gets the sandbox ready. @throws GloveboxError when there can be none now. */
  async open(): Promise<void> {
    await this.#sandbox.open();
  }

  /** Holds it open until disposed of, which counts as a use. */
  use(): Disposable {
    const held = this.lifetime.hold();
    return {
      [Symbol.dispose]: () => {
        held[Symbol.dispose]();
        this.lifetime.touch();
        if (this.#host.owners.isOutdated(this)) this.#host.record(this);
      },
    };
  }

  /** What code in it is held to. */
  get limits(): RunLimits & InstallLimits {
    return this.#host.limits;
  }

  /**
   * Runs Python code to its end. A bad end is a status of the result.
   * @throws GloveboxError `invalid_input`, and as `execute` does
   */
  async run(code: string, { onEvent, signal, ...options }: RunOptions = {}): Promise<ExecutionResult> {
    using _held = this.use();
    const prepared = prepareExecution(this, code, options, false);
    return await runCode(this, prepared, { onEvent, signal: signal ?? new AbortController().signal });
  }

  /**
   * Starts Python code in the background, where it keeps the session open until its end.
   * @throws GloveboxError `invalid_input`; `session_busy` when too many run there
   */
  async start(code: string, options: StartOptions = {}): Promise<BackgroundExecution> {
    using stack = new Disposables();
    stack.use(this.use());
    const prepared = prepareExecution(this, code, options, true);
    const run = (signal: AbortSignal, onBegin: () => void) => {
      const held = stack.move();
      return runCode(this, prepared, { signal, onBegin }).finally(() => held[Symbol.dispose]());
    };
    const { identity, timeoutMs } = prepared;
    return this.background.start(identity.executionId, run, { timeoutMs, context: options.context });
  }

  /**
   * Installs Python packages, for the executions after it to import. A package that fails is told in the result.
   * @param packages names with optional extras and version specifiers, such as `numpy>=2`
   * @throws GloveboxError `invalid_input` for what is no requirement; as `execute` does
   */
  async install(packages: readonly string[], options: InstallOptions = {}): Promise<InstallResult> {
    const requirements = packages.map((text) => this.#host.parseRequirement(text));
    using _held = this.use();
    return await installPackages(this, requirements, options);
  }

  /**
   * Runs one program in the session's sandbox, in a new one if that is gone.
   * @throws GloveboxError when it cannot be run at all; `session_busy` when too many wait before it,
   * `capacity_exceeded` when its turn does not come in time.
   */
  async execute(request: ExecutionRequest, options: ExecutionOptions): Promise<ExecutionEnd> {
    const places = await this.#places.enter(request, options).catch((error: unknown) => {
      if (options.signal.aborted) return undefined;
      throw error;
    });
    if (!places) return endUnbegun(options.signal);
    using _places = places;
    options.onBegin?.();
    const started = performance.now();
    const execute = () => this.#sandbox.execute(request, (sandbox) => sandbox.execute(request, options));
    const end = await execute().catch((error: unknown) => {
      if (!(error instanceof GloveboxError) || error.code !== 'sandbox_lost') throw error;
      // Nothing of this program has run, so it may run in the sandbox's successor.
      return execute();
    });
    this.#host.metrics.count(request, { status: outcomeOf(end, options.signal) }, performance.now() - started);
    return end;
  }

  /** Follows a background execution of an earlier control plane to its end. It runs already, so it waits for no place. */
  async resume(
    execution: RunningExecution,
    request: ExecutionRequest,
    options: Pick<ExecutionOptions, 'timeoutMs' | 'signal'>,
  ): Promise<ExecutionEnd> {
    const places = this.#places.enter(request, options).catch(() => undefined);
    const started = performance.now();
    try {
      const end = await this.#sandbox.execute(request, (sandbox) => sandbox.resume(execution, request, options));
      this.#host.metrics.count(request, end, performance.now() - started);
      return end;
    } finally {
      void places.then((entered) => entered?.[Symbol.dispose]());
    }
  }

  /** Ends a context after the calls that wait for it; one that is not there is a success. */
  async endContext(name: string, signal: AbortSignal = new AbortController().signal): Promise<void> {
    using _held = this.use();
    if (!this.contexts.has(name)) return;
    const options = { timeoutMs: END_CONTEXT_MS, signal, onOutput: () => {} };
    using _turn = await this.contexts.enter(name, { signal, patienceMs: patienceFor(options) });
    await this.execute({ code: '', end_context: name }, options);
  }

  /** Has the next result tell of a loss. @param about `withSandbox`: whether its sandbox is what was lost */
  addLoss(loss: SandboxReset, about: { readonly withSandbox: boolean } = { withSandbox: false }): void {
    this.#sandbox.addLoss(loss, about);
  }

  /**
   * Archives it and removes its sandbox, unless it is used meanwhile.
   * @param options `force`: even if something is lost by that, of which its next result will tell
   * @throws GloveboxError when it cannot be archived; it stays awake
   */
  async hibernate(options: { readonly force: boolean }): Promise<HibernationOutcome> {
    return await this.#sandbox.hibernate(options);
  }

  /** Makes another archive of what it is now, without waking it. */
  async copyTo(identity: ArchiveIdentity, signal: AbortSignal): Promise<CopiedArchive> {
    return await this.#sandbox.copyTo(identity, signal);
  }

  /** Removes the sandbox and all that is in it, and what was kept. Idempotent. */
  async close(): Promise<void> {
    this.background.abandon();
    this.background.cancelAll();
    this.records.removeAll();
    await this.#sandbox.close();
  }

  /** Lets go of the sandbox without removing it, for the next control plane to adopt. */
  async abandon(): Promise<void> {
    this.background.abandon();
    await this.#sandbox.abandon();
  }

  summarize(): SessionSummary {
    return {
      session_id: this.id,
      state: this.isHibernated ? 'hibernated' : 'active',
      created_at: this.createdAt.toISOString(),
      last_used_at: this.lifetime.lastUsedAt.toISOString(),
      expires_at: this.lifetime.expiresAt.toISOString(),
      running: this.#places.running,
      contexts: this.contexts.names,
    };
  }

  /** The key of the sandbox that the session has, if it has one now. */
  async sandboxKey(): Promise<string | undefined> {
    return await this.#sandbox.key();
  }

  /** Writes down which contexts live, now that others do than before. */
  onContexts(): void {
    this.#host.record(this);
  }
}
