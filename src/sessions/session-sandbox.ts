import { Checkpoints, type CopiedArchive, HalfFilled } from '../archives/checkpoints.ts';
import type { ArchiveIdentity, ArchiveRecord } from '../archives/record.ts';
import { changedBy } from '../archives/unsaved-changes.ts';
import { GloveboxError } from '../errors.ts';
import { inOrder, isHeard, LossLedger, ownLoss } from '../execution/losses.ts';
import type { ExecutionEnd, ExecutionRequest, Losable, SandboxReset } from '../execution/request.ts';
import type { SandboxHandle } from '../sandbox/sandbox.ts';
import { traceSession } from '../telemetry/session-spans.ts';
import type { SandboxedSession, SandboxHost } from './lifecycle/sandbox-host.ts';

/** End of an execution that may have changed anything. */
const UNKNOWN_END: ExecutionEnd = { status: 'crashed', exitCode: null };

/** Sandbox of an earlier control plane. */
export interface FormerSandbox {
  readonly handle: SandboxHandle;
  /**
   * Adopts it, once. Before it resolves, `SessionSandbox.adopted` is called. Until then nothing else may run in it.
   * @throws GloveboxError `engine_unavailable`; the next call tries again
   */
  readonly adopt: () => Promise<void>;
}

/** Existing parts of a session: a sandbox, an archive, or both. */
export interface FormerState {
  readonly sandbox?: FormerSandbox;
  readonly record?: ArchiveRecord | undefined;
}

/**
 * Result of an attempt to hibernate a session. `used`: it was used or closed meanwhile. `unreadable`: some files could
 * not be read. `nothing`: it has nothing to archive.
 */
export type HibernationOutcome = 'hibernated' | 'used' | 'unreadable' | 'nothing';

/**
 * Manages the sandboxes of one session, which may have several in succession. Starts a new one on demand, fills it from
 * the session's archive, and reports what could not be restored.
 */
export class SessionSandbox {
  readonly #session: SandboxedSession;
  readonly #host: SandboxHost;
  readonly #checkpoints: Checkpoints;
  readonly #losses = new LossLedger();
  /** Sandbox that is still to be adopted. */
  #former: FormerSandbox | undefined;
  /** Whether a loss of contexts is still to be recorded: not before it is told, for a crash would keep it secret. */
  #contextsLost = false;
  #sandbox: Promise<SandboxHandle> | undefined;
  /** Resolves when the storage of archives has recorded that the session hibernates, or has not. */
  #recording: Promise<void> | undefined;
  #closed = false;

  constructor(session: SandboxedSession, host: SandboxHost, { sandbox, record }: FormerState) {
    this.#session = session;
    this.#host = host;
    this.#checkpoints = new Checkpoints(session, host.archives, record);
    this.#former = sandbox;
    if (sandbox) this.#sandbox = Promise.resolve(sandbox.handle);
  }

  /** Whether the session has no sandbox and consists of its archive. */
  get isHibernated(): boolean {
    return !this.#sandbox && this.record?.at_rest === true;
  }

  /** Current record of the session's archive. */
  get record(): ArchiveRecord | undefined {
    return this.#checkpoints.record;
  }

  /** Time when the archive of a hibernated session expires. */
  get archiveExpiry(): Date | undefined {
    const { record } = this;
    return this.isHibernated && record ? this.#host.archives.expiryOf(record) : undefined;
  }

  /** Returns the key of the current sandbox, if there is one. */
  async key(): Promise<string | undefined> {
    return (await this.#present())?.key;
  }

  /** Ends the wait for the adoption of the sandbox. @param isLost whether the sandbox is gone */
  adopted({ isLost }: { readonly isLost: boolean }): void {
    const handle = this.#former?.handle;
    this.#former = undefined;
    if (isLost) this.#sandbox = undefined;
    else if (handle) {
      this.#listenTo(handle);
      this.#checkpoints.watch(handle);
    }
  }

  /** Gets a sandbox ready. @throws GloveboxError when none is available */
  async open(): Promise<void> {
    await this.#current();
  }

  /** Adds a loss from an earlier control plane. The next result reports it. */
  addLoss(loss: SandboxReset, { withSandbox }: { readonly withSandbox: boolean }): void {
    this.#losses.add(withSandbox ? { ...loss, ...this.#checkpoints.loseSandbox(loss.lost) } : loss);
  }

  /**
   * Runs an execution in the sandbox. Returns its end, with the losses to report.
   * @throws GloveboxError as `run` does, or when no sandbox is available
   */
  async execute(
    request: ExecutionRequest,
    run: (sandbox: SandboxHandle) => Promise<ExecutionEnd>,
  ): Promise<ExecutionEnd> {
    const sandbox = await this.#current();
    let end: ExecutionEnd | undefined;
    try {
      this.#checkpoints.markChanged(sandbox, request);
      end = await run(sandbox);
      if (end.reset && sandbox.lost) {
        end = { ...end, reset: ownLoss(end.reset, this.#lose(sandbox), changedBy(request, end)) };
      }
    } finally {
      if (sandbox.lost) this.#lose(sandbox);
      // An execution without a known end may have changed anything.
      else if (!this.#closed) this.#checkpoints.markChanged(sandbox, request, end ?? UNKNOWN_END);
    }
    return this.#settle(request, end, sandbox.lost ? undefined : this.#losses.takeProcesses());
  }

  /** Runs a terminal, which reports no losses and may outlast its sandbox. @throws GloveboxError as `execute` does */
  async attend(
    request: ExecutionRequest,
    run: (sandbox: SandboxHandle) => Promise<ExecutionEnd>,
  ): Promise<ExecutionEnd> {
    const sandbox = await this.#current();
    try {
      this.#checkpoints.markChanged(sandbox, request);
      return await run(sandbox);
    } finally {
      if ((await this.#present()) === sandbox) {
        if (sandbox.lost) this.#lose(sandbox);
        else if (!this.#closed) this.#checkpoints.markChanged(sandbox, request, UNKNOWN_END);
      }
    }
  }

  /**
   * Archives the session and removes the sandbox, unless it is used meanwhile.
   * @param options `force`: even if something is lost, which the next result then reports
   * @throws GloveboxError when it cannot be archived; then the session stays awake
   */
  async hibernate({ force }: { readonly force: boolean }): Promise<HibernationOutcome> {
    const { contexts, lifetime, terminals } = this.#session;
    const former = this.#sandbox;
    const sandbox = await this.#present();
    if (this.#closed) return 'used';
    if (!sandbox) return this.isHibernated ? 'hibernated' : 'nothing';
    const wasUsed = lifetime.watch();
    const saved = await this.#checkpoints.saveWhole(sandbox).catch((error: unknown) => {
      // Its container was removed by something else, so the session consists of its last checkpoint.
      if (sandbox.lost) this.#lose(sandbox);
      if (this.#closed) return undefined;
      throw error;
    });
    if (!saved || this.#closed || wasUsed() || this.#sandbox !== former) return 'used';
    if (saved.unreadable > 0 && !force) return 'unreadable';
    const losses: [Losable, boolean][] = [
      ['files', saved.unreadable > 0],
      ['contexts', contexts.areAnyToLose],
      ['terminals', terminals.live.length > 0],
    ];
    const recorded = this.#checkpoints.hibernate(losses.flatMap(([what, isLost]) => (isLost ? [what] : [])));
    if (recorded !== undefined) await this.#whileCallsWait(recorded);
    if (this.#closed) return 'used';
    if (this.#sandbox !== former) return 'hibernated';
    contexts.loseAll();
    terminals.loseAll('hibernated');
    this.#sandbox = undefined;
    this.#stopListeningTo(sandbox);
    lifetime.hibernate();
    await this.#host.owners.unassign(this.#session, sandbox);
    await this.#remove(sandbox);
    return 'hibernated';
  }

  /** Creates another archive of the session's current state, without waking it. */
  async copyTo(identity: ArchiveIdentity, signal: AbortSignal): Promise<CopiedArchive> {
    using _held = this.#session.lifetime.hold();
    await this.#former?.adopt();
    await this.#recording;
    const sandbox = await this.#present();
    return await this.#checkpoints.copyTo(identity, sandbox?.lost ? undefined : sandbox, signal);
  }

  /** Removes the sandbox and the archive. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    const sandbox = await this.#present();
    await this.#checkpoints.discard();
    await this.#host.owners.end(this.#session);
    if (sandbox) await this.#remove(sandbox);
  }

  /** Disconnects from the sandbox without removing it, so that the next control plane can adopt it. */
  async abandon(): Promise<void> {
    this.#closed = true;
    const sandbox = await this.#present();
    await this.#checkpoints.abandon();
    sandbox?.abandon();
  }

  /** Counts the sandbox of an abandoned session no more: it is another control plane's. */
  async forget(): Promise<void> {
    const sandbox = await this.#present();
    if (sandbox) this.#host.owners.leave(sandbox);
  }

  /** Returns the current sandbox, or the one being started. Undefined if there is none. */
  async #present(): Promise<SandboxHandle | undefined> {
    return await this.#sandbox?.catch(() => undefined);
  }

  /** Returns the sandbox. Starts one if there is none. */
  async #current(): Promise<SandboxHandle> {
    if (this.#former) await this.#former.adopt();
    if (this.#recording !== undefined) await this.#recording;
    if (this.#closed) throw new GloveboxError('session_not_found', `The session ${this.#session.id} was closed.`);
    this.#sandbox ??= traceSession('glovebox.session.wake', this.#session, () => this.#wake());
    const waking = this.#sandbox;
    try {
      return await waking;
    } catch (error) {
      if (this.#sandbox === waking) this.#sandbox = undefined;
      throw error;
    }
  }

  /** Keeps calls waiting until it is recorded which of the two is the session, its archive or its sandbox. */
  async #whileCallsWait(recorded: Promise<void>): Promise<void> {
    const recording = recorded.catch(() => {});
    this.#recording = recording;
    await recording;
    if (this.#recording === recording) this.#recording = undefined;
    await recorded;
  }

  /** Gets a sandbox with the session's files. If the archive is broken, gets an empty one. */
  async #wake(): Promise<SandboxHandle> {
    try {
      return await this.#fillOne();
    } catch (error) {
      if (!(error instanceof HalfFilled)) throw error;
      this.#losses.addMissingFromArchive(error.loss);
      return await this.#fillOne();
    }
  }

  /** Gets an empty sandbox, assigns it to the session, and fills it from the archive, if there is one. */
  async #fillOne(): Promise<SandboxHandle> {
    const { owners, provide } = this.#host;
    using provided = await provide(this.#session.owner);
    const { sandbox } = provided;
    owners.enter(this.#session, sandbox);
    this.#listenTo(sandbox);
    try {
      if (this.record) this.#session.lifetime.wake();
      await owners.assign(this.#session, sandbox);
      const loss = await this.#checkpoints.fill(sandbox);
      if (loss) this.#losses.addMissingFromArchive(loss);
    } catch (error) {
      this.#stopListeningTo(sandbox);
      if (owners.isLost(this.#session) || owners.isForeign(sandbox)) sandbox.abandon();
      else await sandbox.remove().catch(() => {});
      owners.leave(sandbox);
      await owners.unassign(this.#session, sandbox).catch(() => {});
      throw error;
    }
    return sandbox;
  }

  /** Removes a sandbox. It no longer belongs to the session, even if the engine is down and removes it later. */
  async #remove(sandbox: SandboxHandle): Promise<void> {
    try {
      await sandbox.remove();
    } finally {
      this.#host.owners.leave(sandbox);
    }
  }

  /** Records that a sandbox is gone. Returns the part that cannot be restored. */
  #lose(sandbox: SandboxHandle): SandboxReset {
    return this.#losses.addOnce(sandbox, () => {
      this.#sandbox = undefined;
      this.#stopListeningTo(sandbox);
      const { contexts, lifetime, terminals } = this.#session;
      const lost: Losable[] = ['files', 'packages', 'background'];
      if (contexts.loseAll()) lost.push('contexts');
      if (terminals.loseAll('sandbox_lost')) {
        // Nobody knows what they have changed since the last checkpoint.
        this.#checkpoints.markChanged(sandbox, { kind: 'terminal' }, UNKNOWN_END);
        lost.push('terminals');
      }
      const loss = this.#checkpoints.loseSandbox(inOrder(lost));
      lifetime.hibernate();
      this.#host.owners.lose(sandbox);
      void this.#host.owners.unassign(this.#session, sandbox).catch(() => {});
      return { reason: 'sandbox_lost', ...loss };
    });
  }

  /**
   * Adds the session's losses to the end of an execution.
   * @param ended loss of processes in a sandbox that stays, caused by this execution or before it
   */
  #settle(request: ExecutionRequest, end: ExecutionEnd, ended: SandboxReset | undefined): ExecutionEnd {
    const { contexts, terminals } = this.#session;
    const before = contexts.names.join();
    if (terminals.loss) this.#losses.add(terminals.loss);
    // The loss happened before this execution, which ran in a new context. So it is not part of its own end.
    if (ended && (request.background || !end.reset)) this.#losses.add(ended);
    const settled = contexts.settle(request, end);
    if (this.#contextsLost || contexts.names.join() !== before) {
      this.#contextsLost = false;
      this.#session.onContexts();
    }
    const heard = isHeard(request, end);
    const reset = this.#losses.tell(settled.reset, { isHeard: heard, keepIfUnheard: ended !== undefined });
    if (heard) {
      this.#checkpoints.forgetLoss();
      terminals.told();
    }
    // The result of a background execution is not the next one that a caller sees, so it does not report the loss.
    return reset && !request.background ? { ...settled, reset } : settled;
  }

  /** Starts to record the loss of processes in a sandbox that stays. */
  #listenTo(sandbox: SandboxHandle): void {
    const { contexts, terminals } = this.#session;
    sandbox.onLoss = (loss) => {
      this.#contextsLost ||= contexts.names.length > 0;
      contexts.loseAll();
      terminals.loseAll('runner_lost');
      this.#losses.addProcesses(contexts.settleReset(loss));
    };
  }

  /** Stops recording the loss of processes: it is now part of the loss of the sandbox. */
  #stopListeningTo(sandbox: SandboxHandle): void {
    sandbox.onLoss = undefined;
    this.#losses.takeProcesses();
  }
}
