import { Checkpoints, type CopiedArchive, changedBy } from '../archives/checkpoints.ts';
import type { ArchiveIdentity, ArchiveRecord } from '../archives/record.ts';
import type { ArchiveSettings } from '../archives/settings.ts';
import { GloveboxError } from '../errors.ts';
import { inOrder, isHeard, LossLedger, ownLoss } from '../execution/losses.ts';
import {
  type ExecutionEnd,
  type ExecutionOptions,
  type ExecutionRequest,
  endUnbegun,
  type Losable,
  patienceFor,
  type SandboxReset,
} from '../execution/request.ts';
import { traitsOf } from '../execution/request-kinds.ts';
import type { ExecutionResult } from '../execution/result.ts';
import type { RunningExecution } from '../protocol/greeting.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import { type ExecutionMetrics, outcomeOf } from '../scheduling/execution-metrics.ts';
import type { ExecutionScheduler } from '../scheduling/execution-scheduler.ts';
import { Limiter } from '../scheduling/limiter.ts';
import { TransferLimiter } from '../scheduling/transfer-limiter.ts';
import type { EnterOptions } from '../scheduling/wait-for-turn.ts';
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
import { Lifetime, type LifetimeLimits } from './lifetime.ts';
import type { Remains } from './recovery.ts';
import { prepareExecution, type RunLimits, type RunOptions, runCode, type StartOptions } from './run-code.ts';
import type { SandboxOwners } from './sandbox-owners.ts';

/** Calls of one session that may wait for a place. */
const QUEUE_LIMIT = 32;
const END_CONTEXT_MS = 10_000;
/** Looks at a session's files at once, and lists of its packages. */
const LOOKUPS = 4;
/** Files that are on their way in or out of a session at once. */
const TRANSFERS = 8;

/** An empty sandbox. Until this is disposed of, no other is started for the pool. */
export interface ProvidedSandbox extends Disposable {
  readonly sandbox: Sandbox;
}

/** What all sessions of a control plane stand on. */
export interface SessionHost {
  readonly limits: LifetimeLimits &
    RunLimits &
    InstallLimits & {
      /** Executions of one session at once. */
      readonly concurrency: number;
    };
  readonly parseRequirement: ParseRequirement;
  readonly archives: ArchiveSettings;
  readonly owners: Pick<SandboxOwners, 'enter' | 'leave' | 'write' | 'isOutdated' | 'forgetFormer'>;
  readonly scheduler: Pick<ExecutionScheduler, 'enter'>;
  readonly metrics: Pick<ExecutionMetrics, 'count'>;
  /** Where the background executions of a session are noted. */
  readonly recordsOf: (session: SessionIdentity) => BackgroundRecords;
  /** An empty sandbox that counts against the owner's memory. @throws GloveboxError when there can be none now */
  readonly provide: (owner: string) => Promise<ProvidedSandbox>;
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
  readonly installs = new Limiter(1, QUEUE_LIMIT);
  /** What the package gateway does for this session. */
  readonly downloads = new Downloads();
  readonly contexts = new Contexts();
  readonly background: BackgroundExecutions;
  readonly records: BackgroundRecords;
  readonly #archive: Checkpoints;
  readonly #host: SessionHost;
  readonly #limiter: Limiter;
  /** Apart, so that a session can be looked at while all places are taken. */
  readonly #lookups = new Limiter(LOOKUPS, QUEUE_LIMIT);
  readonly #transfers = new TransferLimiter(TRANSFERS, QUEUE_LIMIT);
  #sandbox: Promise<Sandbox> | undefined;
  #closed = false;
  readonly #losses = new LossLedger();

  /** @param from what there is of it already */
  constructor(
    identity: SessionIdentity,
    host: SessionHost,
    { sandbox, record }: { readonly sandbox?: Sandbox; readonly record?: ArchiveRecord | undefined } = {},
  ) {
    this.id = identity.id;
    this.owner = identity.owner;
    this.createdAt = identity.createdAt;
    this.lifetime = new Lifetime(identity.createdAt, host.limits, () => this.#archiveExpiry);
    this.#host = host;
    this.records = host.recordsOf(identity);
    this.background = new BackgroundExecutions({
      session: this,
      records: this.records,
      onChange: () => host.record(this),
    });
    this.#limiter = new Limiter(host.limits.concurrency, QUEUE_LIMIT);
    this.#sandbox = sandbox && Promise.resolve(sandbox);
    this.#archive = new Checkpoints(this, host.archives, record);
    if (sandbox) {
      this.#listenTo(sandbox);
      this.#archive.watch(sandbox);
    }
  }

  /** Whether its archive is all there is of it. */
  get atRest(): boolean {
    return !this.#sandbox && this.#archive.record?.at_rest === true;
  }

  /** When its archive ends, while that is all there is of it. */
  get #archiveExpiry(): Date | undefined {
    const { record } = this;
    return this.atRest && record ? this.#host.archives.expiryOf(record) : undefined;
  }

  /** Whether executions are under way. */
  get isBusy(): boolean {
    return this.#limiter.running > 0;
  }

  /** Its archive as it is now. */
  get record(): ArchiveRecord | undefined {
    return this.#archive.record;
  }

  /** Takes over what an earlier control plane left; the next result tells what was lost of it. */
  recover({ contexts, runnerState, sandboxLost }: Remains): void {
    const reason = sandboxLost ?? 'runner_lost';
    const lost = new Set<Losable>(sandboxLost ? ['files', 'packages', 'background'] : []);
    if (this.contexts.restore(contexts, runnerState?.contexts ?? [])) lost.add('contexts');
    if (recoverBackground(this, runnerState?.executions ?? new Map(), reason)) lost.add('background');
    if (lost.size === 0) return;
    const reset: SandboxReset = { reason, lost: inOrder(lost) };
    this.#losses.add(sandboxLost ? { ...reset, ...this.#archive.settleLoss(reset.lost) } : reset);
  }

  /** Gets the sandbox ready. @throws GloveboxError when there can be none now. */
  async open(): Promise<void> {
    await this.#current();
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
    using stack = new DisposableStack();
    stack.use(this.use());
    const prepared = prepareExecution(this, code, options, true);
    const run = (signal: AbortSignal, onBegin: () => void) => {
      const held = stack.move();
      return runCode(this, prepared, { signal, onBegin }).finally(() => held.dispose());
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
    const places = await this.#enter(request, options).catch((error: unknown) => {
      if (options.signal.aborted) return undefined;
      throw error;
    });
    if (!places) return endUnbegun(options.signal);
    using _places = places;
    options.onBegin?.();
    const started = performance.now();
    const end = await this.#executeOnce(request, options).catch((error: unknown) => {
      if (!(error instanceof GloveboxError) || error.code !== 'sandbox_lost') throw error;
      // Nothing of this program has run, so it may run in the sandbox's successor.
      return this.#executeOnce(request, options);
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
    const places = this.#enter(request, options).catch(() => undefined);
    const started = performance.now();
    try {
      const end = await this.#inSandbox(request, (sandbox) => sandbox.resume(execution, request, options));
      this.#host.metrics.count(request, end, performance.now() - started);
      return end;
    } finally {
      void places.then((entered) => entered?.[Symbol.dispose]());
    }
  }

  /** Ends a context after the calls that wait for it; one that is not there is a success. */
  async endContext(name: string, signal: AbortSignal): Promise<void> {
    if (!this.contexts.has(name)) return;
    const options = { timeoutMs: END_CONTEXT_MS, signal, onOutput: () => {} };
    using _turn = await this.contexts.enter(name, { signal, patienceMs: patienceFor(options) });
    await this.execute({ code: '', end_context: name }, options);
  }

  /** Has the next result say what was lost. */
  tell(reset: SandboxReset): void {
    this.#losses.add(reset);
  }

  /**
   * Archives it and removes its sandbox, unless it is used meanwhile.
   * @param force even if something is lost by that, of which its next result will tell
   * @returns whether it rests now, was used or closed meanwhile, has what could not be read, or nothing that could be kept
   * @throws GloveboxError when it cannot be archived; it stays awake
   */
  async hibernate({ force }: { readonly force: boolean }): Promise<'rests' | 'used' | 'unreadable' | 'nothing'> {
    const claim = this.#sandbox;
    const sandbox = await claim?.catch(() => undefined);
    if (this.#closed) return 'used';
    if (!sandbox) return this.atRest ? 'rests' : 'nothing';
    const wasUsed = this.lifetime.watch();
    const saved = await this.#archive.saveWhole(sandbox).catch((error: unknown) => {
      // Something took its container away: what there is of it is the last checkpoint.
      if (sandbox.lost) this.#forget(sandbox);
      if (this.#closed) return undefined;
      throw error;
    });
    if (!saved) return 'used';
    const { unreadable } = saved;
    if (this.#closed || wasUsed() || this.#sandbox !== claim) return 'used';
    if (unreadable > 0 && !force) return 'unreadable';
    const losses: [Losable, boolean][] = [
      ['files', unreadable > 0],
      ['contexts', this.contexts.loseAll()],
    ];
    this.#archive.rest(losses.flatMap(([what, isLost]) => (isLost ? [what] : [])));
    this.#sandbox = undefined;
    this.#stopListeningTo(sandbox);
    this.lifetime.hibernate();
    await this.#giveUp(sandbox);
    return 'rests';
  }

  /** Makes another archive of what it is now, without waking it. */
  async copyTo(identity: ArchiveIdentity, signal: AbortSignal): Promise<CopiedArchive> {
    using _held = this.lifetime.hold();
    const sandbox = await this.#sandbox?.catch(() => undefined);
    return await this.#archive.copyTo(identity, sandbox?.lost ? undefined : sandbox, signal);
  }

  /** Removes the sandbox and all that is in it, and what was kept. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.background.abandon();
    this.background.cancelAll();
    this.records.removeAll();
    const sandbox = await this.#sandbox?.catch(() => undefined);
    await this.#archive.discard();
    if (!sandbox) return;
    await this.#giveUp(sandbox);
  }

  /** Lets go of the sandbox without removing it, for the next control plane to adopt. */
  async abandon(): Promise<void> {
    this.#closed = true;
    this.background.abandon();
    const sandbox = await this.#sandbox?.catch(() => undefined);
    await this.#archive.abandon();
    sandbox?.abandon();
  }

  summarize(): SessionSummary {
    return {
      session_id: this.id,
      state: this.atRest ? 'hibernated' : 'active',
      created_at: this.createdAt.toISOString(),
      last_used_at: this.lifetime.lastUsedAt.toISOString(),
      expires_at: this.lifetime.expiresAt.toISOString(),
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
   * who waits for the one does not hold those after it. Patience is for all three together.
   */
  async #enter(
    request: ExecutionRequest,
    options: Pick<ExecutionOptions, 'timeoutMs' | 'signal' | 'onWait' | 'transfer'>,
  ): Promise<Disposable> {
    const { context } = request;
    const { transfer } = options;
    const limiter = traitsOf(request).isLookup ? this.#lookups : this.#limiter;
    const deadline = performance.now() + patienceFor(options);
    const waiting = (what: string): EnterOptions => ({
      signal: options.signal,
      patienceMs: deadline - performance.now(),
      onWait: (ahead) => options.onWait?.(`Waiting for ${what}; ${ahead} of your calls are ahead.`),
    });
    using stack = new DisposableStack();
    if (context !== undefined) stack.use(await this.contexts.enter(context, waiting(`the context ${context}`)));
    const place = waiting('a place in this session');
    stack.use(await (transfer ? this.#transfers.enter(transfer, place) : limiter.enter(place)));
    stack.use(await this.#host.scheduler.enter(this.owner, request, waiting('a place to run')));
    return stack.move();
  }

  /**
   * Adds what is to be told of the session to the end of an execution.
   * @param ended processes that were ended in a sandbox that lives on, by this execution or before it
   */
  #settle(request: ExecutionRequest, end: ExecutionEnd, ended: SandboxReset | undefined): ExecutionEnd {
    const before = this.contexts.names.join();
    // What was lost before it began is no part of its own end: its context is a new one.
    if (ended && !end.reset) this.#losses.add(this.contexts.settleReset(ended));
    const settled = this.contexts.settle(request, end);
    if (this.contexts.names.join() !== before) this.#host.record(this);
    const heard = isHeard(request, end);
    const reset = this.#losses.tell(settled.reset, { isHeard: heard, isFirst: ended !== undefined });
    if (heard) this.#archive.forgetLoss();
    // Its result is not what a caller sees next: what was lost is for that to tell.
    return reset && !request.background ? { ...settled, reset } : settled;
  }

  async #executeOnce(request: ExecutionRequest, options: ExecutionOptions): Promise<ExecutionEnd> {
    return await this.#inSandbox(request, (sandbox) => sandbox.execute(request, options));
  }

  async #inSandbox(request: ExecutionRequest, use: (sandbox: Sandbox) => Promise<ExecutionEnd>): Promise<ExecutionEnd> {
    const sandbox = await this.#current();
    let end: ExecutionEnd | undefined;
    try {
      this.#archive.markChanged(sandbox, request);
      end = await use(sandbox);
      if (end.reset && sandbox.lost) {
        end = { ...end, reset: ownLoss(end.reset, this.#forget(sandbox), changedBy(request, end)) };
      }
    } finally {
      if (sandbox.lost) this.#forget(sandbox);
      // An end that was not heard of may have changed anything.
      else if (!this.#closed) this.#archive.markChanged(sandbox, request, end ?? { status: 'crashed', exitCode: null });
    }
    return this.#settle(request, end, sandbox.lost ? undefined : this.#losses.takeProcesses());
  }

  async #current(): Promise<Sandbox> {
    if (this.#closed) throw new GloveboxError('session_not_found', `The session ${this.id} was closed.`);
    this.#sandbox ??= this.#wake();
    const claim = this.#sandbox;
    try {
      return await claim;
    } catch (error) {
      if (this.#sandbox === claim) this.#sandbox = undefined;
      throw error;
    }
  }

  /** Gets an empty sandbox, makes it this session's, and fills it with what was kept. */
  async #wake(): Promise<Sandbox> {
    const { owners, provide } = this.#host;
    using provided = await provide(this.owner);
    const { sandbox } = provided;
    owners.enter(this, sandbox);
    this.#listenTo(sandbox);
    try {
      if (this.record) this.lifetime.wake();
      owners.write(this, sandbox.key);
      owners.forgetFormer(this);
      await this.#fill(sandbox);
    } catch (error) {
      this.#stopListeningTo(sandbox);
      await sandbox.remove().catch(() => {});
      owners.leave(sandbox);
      throw error;
    }
    return sandbox;
  }

  async #fill(sandbox: Sandbox): Promise<void> {
    const loss = await this.#archive.restore(sandbox);
    if (loss) this.#losses.addUnfilled(loss);
  }

  /** Is prepared to hear what a sandbox of this session loses. */
  #listenTo(sandbox: Sandbox): void {
    sandbox.onLoss = (loss) => this.#losses.addProcesses(loss);
  }

  /** Its processes go with the sandbox: what was lost of them is part of that. */
  #stopListeningTo(sandbox: Sandbox): void {
    sandbox.onLoss = undefined;
    this.#losses.takeProcesses();
  }

  /** It is this session's no more, even while an engine that is down has yet to remove it. */
  async #giveUp(sandbox: Sandbox): Promise<void> {
    try {
      await sandbox.remove();
    } finally {
      this.#host.owners.leave(sandbox);
    }
  }

  /** Takes a sandbox for gone, with all that does not come back. */
  #forget(sandbox: Sandbox): SandboxReset {
    return this.#losses.addOnce(sandbox, () => {
      this.#sandbox = undefined;
      this.#stopListeningTo(sandbox);
      const contexts: readonly Losable[] = this.contexts.loseAll() ? ['contexts'] : [];
      const loss = this.#archive.settleLoss(['files', ...contexts, 'packages', 'background']);
      this.lifetime.hibernate();
      this.#host.owners.leave(sandbox);
      return { reason: 'sandbox_lost', ...loss };
    });
  }
}
