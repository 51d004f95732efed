import { GloveboxError } from '../errors.ts';
import { inOrder } from '../execution/losses.ts';
import type { ExecutionEnd, ExecutionRequest, Losable, SandboxReset } from '../execution/request.ts';
import { type LeftOut, NOTHING_LEFT_OUT } from '../files/left-out.ts';
import { fillWorkspace, type SaveOptions, sendWorkspace } from '../files/workspace.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import type { ArchiveIdentity, ArchiveRecord, ArchiveState } from './record.ts';
import { BrokenArchive } from './segments.ts';
import type { ArchiveSettings } from './settings.ts';
import { ArchiveStore } from './store.ts';

/** Of the time that a checkpoint may take to come: the rest is for making it. */
const BEGIN_AFTER = 1 / 2;
/** Between two checkpoints of a session: so many times what the last one took. */
const PAUSE = 10;
/** But no longer: it may have been the engine, not the session, that it took so long. */
const LONGEST_PAUSE_MS = 60_000;
/** After one that failed, or while an execution goes on: in times of the setting. */
const LATER = 6;
/** Of a checkpoint, in a second: the session's own work goes first. */
const PACE = 64 * 1024 * 1024;
const MIB = 1024 * 1024;
/** For a save to come to its end: what the session's own code holds up is not waited for. */
const LIMIT_MS = 60_000;
const LIMIT_MS_PER_MB = 100;

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
  /** What executions changed, or may have, since the record was begun. */
  #changed = new Set<Losable>();
  /** The same of what is being saved now. */
  #unsaved = new Set<Losable>();
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
    if (record && !record.at_rest) this.#changed.add('files');
  }

  get record(): ArchiveRecord | undefined {
    return this.#record;
  }

  /** Takes note of an execution that begins, or has ended: a checkpoint of what it changes follows. */
  markChanged(sandbox: Sandbox, request: ExecutionRequest, end?: ExecutionEnd): void {
    if (!mayChange(request)) return;
    if (end) for (const what of changedBy(request, end)) this.#changed.add(what);
    this.watch(sandbox);
  }

  /** Makes a checkpoint soon. */
  watch(sandbox: Sandbox): void {
    this.#schedule(sandbox, BEGIN_AFTER);
  }

  /** What of a sandbox that is gone does not come back, and from when on. The session is at rest from now on. */
  settleLoss(lost: readonly Losable[]): Pick<SandboxReset, 'lost' | 'restored_from'> {
    this.#stop();
    this.#notBefore = 0;
    this.#saving?.cancel.abort();
    const changed = new Set([...this.#changed, ...this.#unsaved]);
    this.#changed.clear();
    this.#unsaved.clear();
    if (!this.#record) return { lost };
    const comesBack = (what: Losable) => (what === 'files' || what === 'packages') && !changed.has(what);
    const gone = lost.filter((what) => !comesBack(what));
    this.#rest(gone, 'sandbox');
    return { lost: gone, restored_from: this.#record.saved_at };
  }

  /**
   * Archives the whole session, for its sandbox to be removed. Whoever asks looks whether it was used meanwhile, and
   * calls `rest` if not.
   * @throws GloveboxError when it cannot be archived; then all is as before
   */
  async saveWhole(sandbox: Sandbox): Promise<{ readonly unreadable: number }> {
    this.#stop();
    await this.#saving?.done.catch(() => {});
    return await this.#run((signal) => this.#save(sandbox, { signal, known: [], evenIfEmpty: true }));
  }

  /** From now on, the archive is all there is of the session. */
  rest(lost: readonly Losable[]): void {
    this.#stop();
    this.#rest(lost);
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
  async restore(sandbox: Sandbox): Promise<SandboxReset | undefined> {
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
    // After a crash until then it rests again, and nothing of what follows has been answered.
    store.updateSoon(record.id, { at_rest: false, lost: undefined, lost_with: undefined });
    this.#record = store.get(record.id);
    const lost = inOrder(new Set([...(record.lost ?? []), ...(missing > 0 ? (['files'] as const) : [])]));
    if (lost.length === 0) return undefined;
    return record.lost_with === 'sandbox'
      ? { reason: 'sandbox_lost', lost, restored_from: record.saved_at }
      : { reason: 'hibernated', lost };
  }

  /**
   * Makes another archive of what the session is now.
   * @param sandbox none for a session at rest
   */
  async copyTo(identity: ArchiveIdentity, sandbox: Sandbox | undefined, signal: AbortSignal): Promise<CopiedArchive> {
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

  #rest(lost: readonly Losable[], lostWith?: ArchiveRecord['lost_with']): void {
    this.#update({ at_rest: true, ...(lost.length > 0 ? { lost: [...lost], lost_with: lostWith } : {}) });
  }

  #update(state: ArchiveState): void {
    if (!this.#record) return;
    this.#archives.store.update(this.#record.id, state);
    this.#record = this.#archives.store.get(this.#record.id);
  }

  #schedule(sandbox: Sandbox, times: number): void {
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

  async #checkpoint(sandbox: Sandbox): Promise<void> {
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
        await this.#save(sandbox, { signal, known, pace: PACE, evenIfEmpty: false });
      });
    } catch (error) {
      // Its session was closed, or lost what it was to read: nobody wants it any more.
      if (cancelled?.aborted) return;
      failed = true;
      if (error instanceof BrokenArchive) await this.discard().catch(() => {});
      const { id: session, owner } = this.#session;
      this.#archives.log.warn('a checkpoint could not be made', { session, owner, error });
    }
    const wanted = this.#timer !== undefined || this.#changed.size > 0;
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
    sandbox: Sandbox,
    options: Omit<SaveOptions, 'maxBytes'> & { readonly evenIfEmpty: boolean },
  ): Promise<{ readonly unreadable: number }> {
    const { store, limits } = this.#archives;
    const signal = AbortSignal.any([options.signal, AbortSignal.timeout(LIMIT_MS + limits.diskMb * LIMIT_MS_PER_MB)]);
    const identity = this.#identify(new Date());
    this.#unsaved = this.#changed;
    this.#changed = new Set();
    try {
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
    } catch (error) {
      for (const what of this.#unsaved) this.#changed.add(what);
      throw error;
    } finally {
      this.#unsaved = new Set();
    }
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

function mayChange({ kind, file }: ExecutionRequest): boolean {
  if (kind === 'files') return ['write', 'delete', 'unpack'].includes(String(file?.['op']));
  return kind !== 'packages';
}

/** What an execution says that it changed, or may have changed where it says nothing. */
export function changedBy(request: ExecutionRequest, { report }: ExecutionEnd): readonly Losable[] {
  if (!mayChange(request)) return [];
  if (request.kind === 'install') return ['packages'];
  const changedNothing = report?.files.length === 0 && !report.tmp_changed;
  return request.kind === undefined && changedNothing ? [] : ['files'];
}
