import { Checkpoints, type CopiedArchive } from '../archives/checkpoints.ts';
import type { ArchiveIdentity, ArchiveRecord } from '../archives/record.ts';
import type { ArchiveSettings } from '../archives/settings.ts';
import { changedBy } from '../archives/unsaved-changes.ts';
import { GloveboxError } from '../errors.ts';
import { isHeard, LossLedger, ownLoss } from '../execution/losses.ts';
import type { ExecutionEnd, ExecutionRequest, Losable, SandboxReset } from '../execution/request.ts';
import type { SandboxHandle } from '../sandbox/sandbox.ts';
import type { Contexts } from './contexts.ts';
import type { Lifetime } from './lifecycle/lifetime.ts';
import type { OwningSession, SandboxOwners } from './sandbox-owners.ts';

/** An empty sandbox. Until this is disposed of, no other is started for the pool. */
export interface ProvidedSandbox extends Disposable {
  readonly sandbox: SandboxHandle;
}

/** What there is of a session already: a sandbox, an archive, or both. */
export interface FormerState {
  readonly sandbox?: SandboxHandle | undefined;
  readonly record?: ArchiveRecord | undefined;
}

/** How an attempt to hibernate a session ended: it was used or closed meanwhile, has what could not be read, or nothing. */
export type HibernationOutcome = 'hibernated' | 'used' | 'unreadable' | 'nothing';

/** What the sandboxes of sessions come from, and what is kept of them. */
export interface SandboxHost {
  readonly archives: ArchiveSettings;
  readonly owners: Pick<SandboxOwners, 'enter' | 'leave' | 'write' | 'forgetFormer'>;
  /** An empty sandbox that counts against the owner's memory. @throws GloveboxError when there can be none now */
  readonly provide: (owner: string) => Promise<ProvidedSandbox>;
}

/** A session, as far as its sandbox goes. */
export interface SandboxedSession extends OwningSession {
  readonly contexts: Contexts;
  readonly lifetime: Lifetime;
  /** Whether executions are under way. */
  readonly isBusy: boolean;
  /** Hears that other contexts live than before. */
  onContexts(): void;
}

/**
 * The sandbox of one session, one after the other: a new one is woken when it is wanted, filled with what was kept of the
 * one before, and what does not come back is told.
 */
export class SessionSandbox {
  readonly #session: SandboxedSession;
  readonly #host: SandboxHost;
  readonly #checkpoints: Checkpoints;
  readonly #losses = new LossLedger();
  #sandbox: Promise<SandboxHandle> | undefined;
  #closed = false;

  constructor(session: SandboxedSession, host: SandboxHost, { sandbox, record }: FormerState) {
    this.#session = session;
    this.#host = host;
    this.#checkpoints = new Checkpoints(session, host.archives, record);
    if (!sandbox) return;
    this.#sandbox = Promise.resolve(sandbox);
    this.#listenTo(sandbox);
    this.#checkpoints.watch(sandbox);
  }

  /** Whether the archive is all there is of the session. */
  get isHibernated(): boolean {
    return !this.#sandbox && this.record?.at_rest === true;
  }

  /** The session's archive as it is now. */
  get record(): ArchiveRecord | undefined {
    return this.#checkpoints.record;
  }

  /** When the archive ends, while that is all there is of the session. */
  get archiveExpiry(): Date | undefined {
    const { record } = this;
    return this.isHibernated && record ? this.#host.archives.expiryOf(record) : undefined;
  }

  /** The key of the sandbox that there is now, if there is one. */
  async key(): Promise<string | undefined> {
    return (await this.#present())?.key;
  }

  /** Gets a sandbox ready. @throws GloveboxError when there can be none now */
  async open(): Promise<void> {
    await this.#current();
  }

  /** Adds a loss of an earlier control plane, for the next result to tell. */
  addLoss(loss: SandboxReset, { withSandbox }: { readonly withSandbox: boolean }): void {
    this.#losses.add(withSandbox ? { ...loss, ...this.#checkpoints.loseSandbox(loss.lost) } : loss);
  }

  /**
   * Runs an execution in the sandbox; its end, with all that is to be told of losses.
   * @throws GloveboxError as `run` does, or when there can be no sandbox now
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
      // An end that was not heard of may have changed anything.
      else if (!this.#closed)
        this.#checkpoints.markChanged(sandbox, request, end ?? { status: 'crashed', exitCode: null });
    }
    return this.#settle(request, end, sandbox.lost ? undefined : this.#losses.takeProcesses());
  }

  /**
   * Archives the session and removes the sandbox, unless it is used meanwhile.
   * @param options `force`: even if something is lost by that, of which the next result will tell
   * @throws GloveboxError when it cannot be archived; it stays awake
   */
  async hibernate({ force }: { readonly force: boolean }): Promise<HibernationOutcome> {
    const { contexts, lifetime } = this.#session;
    const former = this.#sandbox;
    const sandbox = await this.#present();
    if (this.#closed) return 'used';
    if (!sandbox) return this.isHibernated ? 'hibernated' : 'nothing';
    const wasUsed = lifetime.watch();
    const saved = await this.#checkpoints.saveWhole(sandbox).catch((error: unknown) => {
      // Something took its container away: what there is of it is the last checkpoint.
      if (sandbox.lost) this.#lose(sandbox);
      if (this.#closed) return undefined;
      throw error;
    });
    if (!saved || this.#closed || wasUsed() || this.#sandbox !== former) return 'used';
    const { unreadable } = saved;
    if (unreadable > 0 && !force) return 'unreadable';
    const losses: [Losable, boolean][] = [
      ['files', unreadable > 0],
      ['contexts', contexts.loseAll()],
    ];
    this.#checkpoints.hibernate(losses.flatMap(([what, isLost]) => (isLost ? [what] : [])));
    this.#sandbox = undefined;
    this.#stopListeningTo(sandbox);
    lifetime.hibernate();
    await this.#remove(sandbox);
    return 'hibernated';
  }

  /** Makes another archive of what the session is now, without waking it. */
  async copyTo(identity: ArchiveIdentity, signal: AbortSignal): Promise<CopiedArchive> {
    using _held = this.#session.lifetime.hold();
    const sandbox = await this.#present();
    return await this.#checkpoints.copyTo(identity, sandbox?.lost ? undefined : sandbox, signal);
  }

  /** Removes the sandbox with all that is in it, and what was kept. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    const sandbox = await this.#present();
    await this.#checkpoints.discard();
    if (sandbox) await this.#remove(sandbox);
  }

  /** Lets go of the sandbox without removing it, for the next control plane to adopt. */
  async abandon(): Promise<void> {
    this.#closed = true;
    const sandbox = await this.#present();
    await this.#checkpoints.abandon();
    sandbox?.abandon();
  }

  /** The sandbox that there is, or is being woken; undefined where there is none. */
  async #present(): Promise<SandboxHandle | undefined> {
    return await this.#sandbox?.catch(() => undefined);
  }

  /** The sandbox; wakes one if there is none. */
  async #current(): Promise<SandboxHandle> {
    if (this.#closed) throw new GloveboxError('session_not_found', `The session ${this.#session.id} was closed.`);
    this.#sandbox ??= this.#wake();
    const waking = this.#sandbox;
    try {
      return await waking;
    } catch (error) {
      if (this.#sandbox === waking) this.#sandbox = undefined;
      throw error;
    }
  }

  /** Gets an empty sandbox, makes it the session's, and fills it with what was kept. */
  async #wake(): Promise<SandboxHandle> {
    const { owners, provide } = this.#host;
    using provided = await provide(this.#session.owner);
    const { sandbox } = provided;
    owners.enter(this.#session, sandbox);
    this.#listenTo(sandbox);
    try {
      if (this.record) this.#session.lifetime.wake();
      owners.write(this.#session, sandbox.key);
      owners.forgetFormer(this.#session);
      const loss = await this.#checkpoints.fill(sandbox);
      if (loss) this.#losses.addMissingFromArchive(loss);
    } catch (error) {
      this.#stopListeningTo(sandbox);
      await sandbox.remove().catch(() => {});
      owners.leave(sandbox);
      throw error;
    }
    return sandbox;
  }

  /** Removes a sandbox, which is the session's no more even while an engine that is down has yet to remove it. */
  async #remove(sandbox: SandboxHandle): Promise<void> {
    try {
      await sandbox.remove();
    } finally {
      this.#host.owners.leave(sandbox);
    }
  }

  /** Takes a sandbox for gone; what does not come back of it. */
  #lose(sandbox: SandboxHandle): SandboxReset {
    return this.#losses.addOnce(sandbox, () => {
      this.#sandbox = undefined;
      this.#stopListeningTo(sandbox);
      const { contexts, lifetime } = this.#session;
      const lost: readonly Losable[] = contexts.loseAll() ? ['contexts'] : [];
      const loss = this.#checkpoints.loseSandbox(['files', ...lost, 'packages', 'background']);
      lifetime.hibernate();
      this.#host.owners.leave(sandbox);
      return { reason: 'sandbox_lost', ...loss };
    });
  }

  /**
   * Adds what is to be told of the session to the end of an execution.
   * @param ended processes that were ended in a sandbox that lives on, by this execution or before it
   */
  #settle(request: ExecutionRequest, end: ExecutionEnd, ended: SandboxReset | undefined): ExecutionEnd {
    const { contexts } = this.#session;
    const before = contexts.names.join();
    // What was lost before it began is no part of its own end: its context is a new one.
    if (ended && !end.reset) this.#losses.add(contexts.settleReset(ended));
    const settled = contexts.settle(request, end);
    if (contexts.names.join() !== before) this.#session.onContexts();
    const heard = isHeard(request, end);
    const reset = this.#losses.tell(settled.reset, { isHeard: heard, keepIfUnheard: ended !== undefined });
    if (heard) this.#checkpoints.forgetLoss();
    // Its result is not what a caller sees next: what was lost is for that to tell.
    return reset && !request.background ? { ...settled, reset } : settled;
  }

  /** Hears what processes a sandbox loses while it lives on. */
  #listenTo(sandbox: SandboxHandle): void {
    sandbox.onLoss = (loss) => this.#losses.addProcesses(loss);
  }

  /** Hears no more of a sandbox: what its processes lost is part of what goes with it. */
  #stopListeningTo(sandbox: SandboxHandle): void {
    sandbox.onLoss = undefined;
    this.#losses.takeProcesses();
  }
}
