import type { CopiedArchive } from '../archives/checkpoints.ts';
import type { ArchiveIdentity, ArchiveRecord } from '../archives/record.ts';
import type { WebAccess } from '../egress/web-access.ts';
import { GloveboxError } from '../errors.ts';
import { sayingBegun } from '../execution/begun.ts';
import { inOrder } from '../execution/losses.ts';
import type { Program } from '../execution/program.ts';
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
import type { ToolAccess } from '../execution/tool-access.ts';
import { SessionFiles } from '../files/session-files.ts';
import type { RunningExecution } from '../protocol/greeting.ts';
import type { ResumeOptions, SandboxHandle } from '../sandbox/sandbox.ts';
import { outcomeOf } from '../scheduling/execution-metrics.ts';
import { Limiter } from '../scheduling/limiter.ts';
import { SESSION_QUEUE_LIMIT, SessionPlaces } from '../scheduling/session-places.ts';
import { SessionTerminals } from '../terminals/session-terminals.ts';
import { type AttachedExecution, type BeginOptions, beginAttached } from './attached/attached-execution.ts';
import { startInBackground } from './attached/background-start.ts';
import type { BackgroundExecution } from './background-execution.ts';
import { BackgroundExecutions } from './background-executions.ts';
import type { BackgroundRecords } from './background-records.ts';
import { recoverBackground } from './background-result.ts';
import { Contexts } from './contexts.ts';
import { withAccess } from './grants/terminal-access.ts';
import { type SessionIdentity, type SessionSummary, summarize } from './identity.ts';
import { type InstallLimits, type InstallOptions, type InstallResult, installPackages } from './install.ts';
import { Downloads } from './installation.ts';
import { Lifetime } from './lifecycle/lifetime.ts';
import { followFiles, whileInUse } from './programs/file-operations.ts';
import { traceInstallation } from './programs/traced-execution.ts';
import type { RecentExecutions } from './recent-executions.ts';
import type { Remains } from './recovery.ts';
import {
  type PreparedExecution,
  prepareExecution,
  type RunLimits,
  type RunOptions,
  runCode,
  type StartOptions,
} from './run-code.ts';
import type { SessionHost } from './session-host.ts';
import { type FormerState, type HibernationOutcome, SessionSandbox } from './session-sandbox.ts';

const END_CONTEXT_MS = 10_000;

/** Session of an owner: one sandbox at a time, with its files and background executions. */
export class Session implements SessionIdentity {
  readonly id: string;
  readonly owner: string;
  readonly createdAt: Date;
  readonly lifetime: Lifetime;
  /** Lets one call at a time install packages. */
  readonly installs = new Limiter(1, SESSION_QUEUE_LIMIT);
  /** Reports of the package gateway for this session. */
  readonly downloads = new Downloads();
  /** Files of the session, with paths relative to its workspace. */
  readonly files = new SessionFiles(whileInUse(this));
  readonly contexts = new Contexts();
  readonly background: BackgroundExecutions;
  readonly records: BackgroundRecords;
  readonly recent: RecentExecutions;
  readonly tools: ToolAccess | undefined;
  readonly terminals: SessionTerminals;
  readonly web: WebAccess | undefined;
  readonly webPatterns: readonly string[] | undefined;
  readonly #host: SessionHost;
  readonly #places: SessionPlaces;
  readonly #sandbox: SessionSandbox;

  /** @param from existing sandbox or archive */
  constructor(identity: SessionIdentity, host: SessionHost, from: FormerState = {}) {
    const { limits, scheduler } = host;
    this.id = identity.id;
    this.owner = identity.owner;
    this.createdAt = identity.createdAt;
    this.lifetime = new Lifetime(identity.createdAt, limits, () => this.#sandbox.archiveExpiry);
    this.#host = host;
    this.recent = host.recent;
    this.tools = host.tools;
    this.web = host.web;
    this.webPatterns = identity.webPatterns;
    this.records = host.recordsOf(identity);
    this.background = new BackgroundExecutions({
      ...{ session: this, records: this.records },
      onChange: () => host.record(this),
      onEnd: (execution) => host.ends?.tell(this, execution),
    });
    this.#places = new SessionPlaces({
      owner: identity.owner,
      concurrency: limits.concurrency,
      scheduler,
      enterContext: (name, options) => this.contexts.enter(name, options),
    });
    this.terminals = new SessionTerminals({
      limits,
      hold: () => this.use(),
      onChange: () => host.record(this),
      run: (asked, options) =>
        withAccess(this, options.id, asked, (request) =>
          this.#sandbox.attend(request, (sandbox) => sandbox.execute(request, options)),
        ),
    });
    this.#sandbox = new SessionSandbox(this, host, from);
  }

  /** Whether it has no sandbox and consists of its archive. */
  get isHibernated(): boolean {
    return this.#sandbox.isHibernated;
  }

  /** Whether executions are running. */
  get isBusy(): boolean {
    return this.#places.running > 0 || this.terminals.live.length > 0;
  }

  /** Number of this hold on the session among all of several control planes. Undefined if there is one alone. */
  get generation(): number | undefined {
    return this.#host.owners.generationOf(this);
  }

  /** Current record of its archive. */
  get record(): ArchiveRecord | undefined {
    return this.#sandbox.record;
  }

  /** Takes over what an earlier control plane left. The next result reports what was lost. */
  recover({ contexts, runnerState, sandboxLost }: Remains): void {
    this.#sandbox.adopted({ isLost: sandboxLost !== undefined });
    const reason = sandboxLost ?? 'runner_lost';
    const lost = new Set<Losable>(sandboxLost ? ['files', 'packages', 'background'] : []);
    if (this.contexts.recover(contexts, runnerState?.contexts ?? [])) lost.add('contexts');
    if (recoverBackground(this, runnerState?.executions ?? new Map(), reason)) lost.add('background');
    if (sandboxLost && this.terminals.loss) lost.add('terminals');
    if (lost.size > 0) this.addLoss({ reason, lost: inOrder(lost) }, { withSandbox: sandboxLost !== undefined });
  }

  /** Gets the sandbox ready. @throws GloveboxError when none is available */
  async open(): Promise<void> {
    await this.#sandbox.open();
  }

  /** Holds the session open until disposed of. Disposing of it counts as a use. */
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

  /** Limits of executions and installations. */
  get limits(): RunLimits & InstallLimits {
    return this.#host.limits;
  }

  /**
   * Runs a program to its end: Python code, or a command. If it fails, the result has a status; nothing is thrown.
   * @throws GloveboxError `invalid_input`, and as `execute` does
   */
  async run(program: Program, { signal, ...options }: RunOptions = {}): Promise<ExecutionResult> {
    const held = this.use();
    let prepared: PreparedExecution | undefined;
    try {
      prepared = prepareExecution(this, program, options, false);
      const { onEvent, asBytes, stdin } = options;
      return await runCode(this, prepared, { onEvent, asBytes, stdin, signal: signal ?? new AbortController().signal });
    } finally {
      prepared?.access?.[Symbol.dispose]();
      held[Symbol.dispose]();
    }
  }

  /**
   * Starts a program in the background. It keeps the session open until its end. Resolves when it waits for its turn,
   * or is on its way to the sandbox, where it goes on even if this control plane is killed.
   * @throws GloveboxError `invalid_input`; `session_busy` when too many run there
   */
  async start(program: Program, options: StartOptions = {}): Promise<BackgroundExecution> {
    return await startInBackground(this, program, options);
  }

  /**
   * Starts a program that its caller may leave: from then on it is a background execution, and a task.
   * @throws GloveboxError `invalid_input`
   */
  begin(program: Program, options: BeginOptions): AttachedExecution {
    return beginAttached(this, program, options);
  }

  /**
   * Installs Python packages for later executions. The result names packages that failed.
   * @param packages names with optional extras and version specifiers, such as `numpy>=2`
   * @throws GloveboxError `invalid_input` for an invalid requirement; as `execute` does
   */
  async install(packages: readonly string[], options: InstallOptions = {}): Promise<InstallResult> {
    const requirements = packages.map((text) => this.#host.parseRequirement(text));
    using _held = this.use();
    return await traceInstallation(this, () => installPackages(this, requirements, options));
  }

  /**
   * Runs one program in the session's sandbox, or in a new one if the sandbox is gone.
   * @throws GloveboxError when it cannot run; `session_busy` when too many calls wait, `capacity_exceeded` when its turn
   *   does not come in time
   */
  async execute(request: ExecutionRequest, wanted: ExecutionOptions): Promise<ExecutionEnd> {
    return await followFiles(this, request, wanted, (followed) =>
      sayingBegun(followed, (options) => this.#executeInTurn(request, options)),
    );
  }

  async #executeInTurn(request: ExecutionRequest, options: ExecutionOptions): Promise<ExecutionEnd> {
    const { metrics } = this.#host;
    const asked = performance.now();
    const places = await this.#places.enter(request, options).catch((error: unknown) => {
      if (options.signal.aborted) return undefined;
      throw error;
    });
    if (!places) return endUnbegun(options.signal);
    try {
      options.onBegin?.();
      const started = performance.now();
      metrics.countWait(request, started - asked);
      const end = await this.#executeNow(request, options);
      metrics.count(request, { status: outcomeOf(end, options.signal) }, performance.now() - started);
      return end;
    } finally {
      places[Symbol.dispose]();
    }
  }

  async #executeNow(request: ExecutionRequest, options: ExecutionOptions): Promise<ExecutionEnd> {
    const run = (sandbox: SandboxHandle) => sandbox.execute(request, options);
    this.requireHeld();
    try {
      return await this.#sandbox.execute(request, run);
    } catch (error) {
      if (!(error instanceof GloveboxError) || error.code !== 'sandbox_lost') throw error;
      // No part of this program has run, so it can run in a new sandbox.
      return await this.#sandbox.execute(request, run);
    } finally {
      // What it says of its end may be another control plane's doing.
      this.requireHeld();
    }
  }

  /** Follows a background execution of an earlier control plane to its end. It runs already, so it needs no place. */
  async resume(execution: RunningExecution, request: ExecutionRequest, options: ResumeOptions): Promise<ExecutionEnd> {
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

  /** Ends a context after the calls that wait for it. Succeeds if there is no such context. */
  async endContext(name: string, signal: AbortSignal = new AbortController().signal): Promise<void> {
    using _held = this.use();
    if (!this.contexts.has(name)) return;
    const options = { timeoutMs: END_CONTEXT_MS, signal, onOutput: () => {} };
    using _turn = await this.contexts.enter(name, { signal, patienceMs: patienceFor(options) });
    await this.execute({ code: '', end_context: name }, options);
  }

  /** Adds a loss, which the next result reports. @param about `withSandbox`: the sandbox itself was lost */
  addLoss(loss: SandboxReset, about: { readonly withSandbox: boolean } = { withSandbox: false }): void {
    this.#sandbox.addLoss(loss, about);
  }

  /**
   * Archives the session and removes its sandbox, unless the session is used meanwhile.
   * @param options `force`: even if something is lost, which the next result then reports
   * @throws GloveboxError when it cannot be archived; then it stays awake
   */
  async hibernate(options: { readonly force: boolean }): Promise<HibernationOutcome> {
    return await this.#sandbox.hibernate(options);
  }

  /** Creates another archive of its current state, without waking it. */
  async copyTo(identity: ArchiveIdentity, signal: AbortSignal): Promise<CopiedArchive> {
    return await this.#sandbox.copyTo(identity, signal);
  }

  /** Removes the sandbox and the archive. Idempotent. */
  async close(): Promise<void> {
    this.terminals.loseAll('session_closed');
    this.background.abandon();
    this.background.cancelAll();
    this.records.removeAll();
    await this.#sandbox.close();
  }

  /** Disconnects from the sandbox without removing it, so that the next control plane can adopt it. */
  async abandon(): Promise<void> {
    this.terminals.loseAll('server_stopped');
    this.background.abandon();
    await this.#sandbox.abandon();
  }

  /** Gives the session up, because another control plane may hold it. Calls under way fail, and it is not known what they did. */
  async lose(): Promise<void> {
    await this.abandon();
    await this.#sandbox.forget();
  }

  /** Checks that this control plane still answers for the session. @throws HoldLost */
  requireHeld(): void {
    this.#host.owners.requireHeld(this);
  }

  /** Resolves when the last change of it is written down, or could not be. */
  async recorded(): Promise<void> {
    await this.#host.owners.recorded(this);
  }

  summarize(): SessionSummary {
    return summarize(this, this.#places.running);
  }

  /** Returns the key of the current sandbox, if there is one. */
  async sandboxKey(): Promise<string | undefined> {
    return await this.#sandbox.key();
  }

  /** Saves where its archive is, now that it has one. */
  onArchived(): void {
    this.#host.record(this);
  }

  /** Saves the names of the live contexts, after they have changed. */
  onContexts(): void {
    this.#host.record(this);
  }
}
