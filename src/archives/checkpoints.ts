import { GloveboxError } from '../errors.ts';
import { inOrder } from '../execution/losses.ts';
import type { ExecutionEnd, ExecutionRequest, Losable, SandboxReset } from '../execution/request.ts';
import { type LeftOut, NOTHING_LEFT_OUT } from '../files/left-out.ts';
import { fillWorkspace, type SaveOptions, sendWorkspace } from '../files/workspace.ts';
import type { SandboxHandle } from '../sandbox/sandbox.ts';
import type { ArchiveIdentity, ArchiveRecord, ArchiveState } from './record.ts';
import { BrokenArchive } from './segments.ts';
import type { ArchiveSettings } from './settings.ts';
import { ArchiveStore } from './store.ts';
import { changedBy, mayChange, UnsavedChanges } from './unsaved-changes.ts';

/** Part of the setting's time after which a checkpoint is begun: the rest is for making it. */
const BEGIN_AFTER = 1 / 2;
/** Pause between two checkpoints of a session, as a multiple of what the last one took. */
const PAUSE = 10;
/** Longest such pause, in milliseconds: it may be the engine, not the session, that took so long. */
const LONGEST_PAUSE_MS = 60_000;
/** Pause after one that failed, or while an execution goes on, as a multiple of the setting's time. */
const LATER = 6;
/** Bytes of a checkpoint in a second: the session's own work goes first. */
const BYTES_PER_SECOND = 64 * 1024 * 1024;
const MIB = 1024 * 1024;
/** Milliseconds until a save is given up, with more for large disks: the session's own code may hold it up. */
const LIMIT_MS = 60_000;
const LIMIT_MS_PER_MB = 100;

/** What checkpoints need of a sandbox. */
export type RunningSandbox = Pick<SandboxHandle, 'lost' | 'execute'>;

/** What a session's checkpoints need to know of it. */
export interface KeptSession {
  readonly id: string;
  readonly owner: string;
  readonly createdAt: Date;
  /** Whether executions are under way. */
  readonly isBusy: boolean;
}

/** Another archive of a session, and what of that is not in it. */
export interface CopiedArchive {
  readonly record: ArchiveRecord;
  readonly leftOut: LeftOut;
}

interface Saving {
  readonly done: Promise<unknown>;
  readonly cancel: AbortController;
}

/** What the control plane keeps of one session on its own disk: a checkpoint of it, or all that there is of it. */
export class Checkpoints {
  readonly #session: KeptSession;
  readonly #archives: ArchiveSettings;
  #record: ArchiveRecord | undefined;
  readonly #changes = new UnsavedChanges();
  #timer: NodeJS.Timeout | undefined;
  /** When the timer ends, as `performance.now` tells it. */
  #due = 0;
  #notBefore = 0;
  #saving: Saving | undefined;

  constructor(session: KeptSession, archives: ArchiveSettings, record?: ArchiveRecord) {
    this.#session = session;
    this.#archives = archives;
    this.#record = record;
    // Whatever ran since is not known.
    if (record && !record.at_rest) this.#changes.add(['files']);
  }

  get record(): ArchiveRecord | undefined {
    return this.#record;
  }

  /** Takes note of an execution that begins, or has ended: a checkpoint of what it changes follows. */
  markChanged(sandbox: RunningSandbox, request: ExecutionRequest, end?: ExecutionEnd): void {
    if (!mayChange(request)) return;
    if (end) this.#changes.add(changedBy(request, end));
    this.watch(sandbox);
  }

  /** Makes a checkpoint soon. */
  watch(sandbox: RunningSandbox): void {
    this.#schedule(sandbox, BEGIN_AFTER);
  }

  /**
   * Takes the sandbox for gone: the archive, if there is any, is all there is of the session from now on.
   * @param lost all that was in the sandbox
   * @returns what of that does not come back, and the time that files come back from
   */
  loseSandbox(lost: readonly Losable[]): Pick<SandboxReset, 'lost' | 'restoredFrom'> {
    this.#stop();
    this.#notBefore = 0;
    this.#saving?.cancel.abort();
    const changed = this.#changes.lose();
    if (!this.#record) return { lost };
    const comesBack = (what: Losable) => (what === 'files' || what === 'packages') && !changed.has(what);
    const gone = lost.filter((what) => !comesBack(what));
    this.#setHibernated(gone, 'sandbox');
    return { lost: gone, restoredFrom: this.#record.saved_at };
  }

  /**
   * Archives the whole session, for its sandbox to be removed. Whoever asks looks whether it was used meanwhile, and
   * calls `hibernate` if not.
   * @throws GloveboxError when it cannot be archived; then all is as before
   */
  async saveWhole(sandbox: RunningSandbox): Promise<{ readonly unreadable: number }> {
    this.#stop();
    await this.#saving?.done.catch(() => {});
    return await this.#run((signal) => this.#save(sandbox, { signal, known: [], evenIfEmpty: true }));
  }

  /** Makes the archive all there is of the session. */
  hibernate(lost: readonly Losable[]): void {
    this.#stop();
    this.#setHibernated(lost);
  }

  /** Whoever called has heard what was lost of the session until now. */
  forgetLoss(): void {
    if (this.#record?.at_rest && this.#record.lost)
      this.#update({ at_rest: true, lost: undefined, lost_with: undefined });
  }

  /**
   * Fills a new sandbox with what was kept, if anything was; what is to be told of that.
   * @throws GloveboxError when the sandbox cannot take it; the archive stays
   */
  async fill(sandbox: RunningSandbox): Promise<SandboxReset | undefined> {
    const { store } = this.#archives;
    await this.#saving?.done.catch(() => {});
    const record = this.#record;
    if (!record) return undefined;
    let missing = 0;
    try {
      ({ missing } = await fillWorkspace(sandbox, store.readVerified(record), new AbortController().signal));
    } catch (error) {
      if (!(error instanceof BrokenArchive)) throw error;
      this.#archives.log.error('an archive is broken', { session: record.session_id, owner: record.owner, error });
      await this.discard();
      return { reason: 'archive_broken', lost: ['files', 'packages'] };
    }
    // After a crash until then it is hibernated again, and nothing of what follows has been answered.
    store.updateSoon(record.id, { at_rest: false, lost: undefined, lost_with: undefined });
    this.#record = store.get(record.id);
    const lost = inOrder(new Set([...(record.lost ?? []), ...(missing > 0 ? (['files'] as const) : [])]));
    if (lost.length === 0) return undefined;
    return record.lost_with === 'sandbox'
      ? { reason: 'sandbox_lost', lost, restoredFrom: record.saved_at }
      : { reason: 'hibernated', lost };
  }

  /**
   * Makes another archive of what the session is now.
   * @param sandbox none for a hibernated session
   */
  async copyTo(
    identity: ArchiveIdentity,
    sandbox: RunningSandbox | undefined,
    signal: AbortSignal,
  ): Promise<CopiedArchive> {
    const { store, limits } = this.#archives;
    if (!sandbox) {
      if (!this.#record)
        throw new GloveboxError('sandbox_lost', 'There is nothing of this session that could be kept.');
      await this.#verify(this.#record);
      return { record: await store.copy(this.#record, identity), leftOut: NOTHING_LEFT_OUT };
    }
    const sent = await sendWorkspace(sandbox, { signal, known: [], maxBytes: limits.diskMb * MIB * 2 });
    try {
      return { record: await store.write(identity, sent.entries), leftOut: sent.leftOut() };
    } finally {
      await sent.close();
    }
  }

  /** Leaves everything as it is on the disk. */
  async abandon(): Promise<void> {
    this.#stop();
    this.#saving?.cancel.abort();
    await this.#saving?.done.catch(() => {});
  }

  /** Removes what was kept. */
  async discard(): Promise<void> {
    await this.abandon();
    const record = this.#record;
    this.#record = undefined;
    if (record) await this.#archives.store.remove(record.id);
  }

  #setHibernated(lost: readonly Losable[], lostWith?: ArchiveRecord['lost_with']): void {
    this.#update({ at_rest: true, ...(lost.length > 0 ? { lost: [...lost], lost_with: lostWith } : {}) });
  }

  #update(state: ArchiveState): void {
    if (!this.#record) return;
    this.#archives.store.update(this.#record.id, state);
    this.#record = this.#archives.store.get(this.#record.id);
  }

  #schedule(sandbox: RunningSandbox, times: number): void {
    const { checkpointAfterS } = this.#archives.limits;
    if (checkpointAfterS === 0) return;
    const waitMs = Math.max(checkpointAfterS * 1000 * times, this.#notBefore - performance.now());
    const due = performance.now() + waitMs;
    if (this.#timer && this.#due <= due) return;
    this.#stop();
    this.#due = due;
    this.#timer = setTimeout(() => void this.#checkpoint(sandbox), waitMs);
    this.#timer.unref();
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async #checkpoint(sandbox: RunningSandbox): Promise<void> {
    this.#stop();
    if (sandbox.lost) return;
    if (this.#saving) return this.#schedule(sandbox, 1);
    const started = performance.now();
    let failed = false;
    let cancelled: AbortSignal | undefined;
    try {
      await this.#run(async (signal) => {
        cancelled = signal;
        const known = this.#record ? await this.#archives.store.marks(this.#record) : [];
        await this.#save(sandbox, { signal, known, bytesPerSecond: BYTES_PER_SECOND, evenIfEmpty: false });
      });
    } catch (error) {
      // Its session was closed, or lost what it was to read: nobody wants it any more.
      if (cancelled?.aborted) return;
      failed = true;
      if (error instanceof BrokenArchive) await this.discard().catch(() => {});
      const { id: session, owner } = this.#session;
      this.#archives.log.warn('a checkpoint could not be made', { session, owner, error });
    }
    const wanted = this.#timer !== undefined || this.#changes.any;
    this.#stop();
    // The next sandbox does not wait for what held this one up.
    if (sandbox.lost) return;
    const tookMs = performance.now() - started;
    const laterMs = this.#archives.limits.checkpointAfterS * 1000 * LATER;
    this.#notBefore = performance.now() + (failed ? laterMs : Math.min(tookMs * PAUSE, LONGEST_PAUSE_MS));
    if (failed || wanted || this.#session.isBusy) this.#schedule(sandbox, wanted ? BEGIN_AFTER : LATER);
  }

  async #run<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const cancel = new AbortController();
    const done = work(cancel.signal);
    const saving = { done, cancel };
    this.#saving = saving;
    try {
      return await done;
    } finally {
      if (this.#saving === saving) this.#saving = undefined;
    }
  }

  async #save(
    sandbox: RunningSandbox,
    options: Omit<SaveOptions, 'maxBytes'> & { readonly evenIfEmpty: boolean },
  ): Promise<{ readonly unreadable: number }> {
    const { store, limits } = this.#archives;
    const signal = AbortSignal.any([options.signal, AbortSignal.timeout(LIMIT_MS + limits.diskMb * LIMIT_MS_PER_MB)]);
    const identity = this.#identify(new Date());
    return await this.#changes.save(async () => {
      const sent = await sendWorkspace(sandbox, { ...options, signal, maxBytes: limits.diskMb * MIB * 2 });
      try {
        if (sent.count > 0 || this.#record || options.evenIfEmpty)
          this.#record = await store.write(identity, sent.entries, { previous: this.#record, signal });
        // Ended by force, on a busy machine, it could take all else in the sandbox with it.
        else await sent.skip();
      } finally {
        await sent.close();
      }
      return { unreadable: sent.unreadable() };
    });
  }

  #identify(now: Date): ArchiveIdentity {
    const { id, owner, createdAt } = this.#session;
    return {
      id: this.#record?.id ?? ArchiveStore.newId(),
      kind: 'session',
      owner,
      session_id: id,
      created_at: createdAt.toISOString(),
      saved_at: now.toISOString(),
      at_rest: false,
    };
  }

  async #verify(record: ArchiveRecord): Promise<void> {
    await this.#archives.store.verify(record).catch((cause: unknown) => {
      throw new GloveboxError('sandbox_lost', 'The archive of this session is broken.', { cause });
    });
  }
}
