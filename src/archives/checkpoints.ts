import { GloveboxError } from '../errors.ts';
import { inOrder } from '../execution/losses.ts';
import type { ExecutionEnd, ExecutionRequest, Losable, SandboxReset } from '../execution/request.ts';
import { DamagedContents } from '../files/file-operation.ts';
import { type LeftOut, NOTHING_LEFT_OUT } from '../files/left-out.ts';
import { fillWorkspace, type SaveOptions, sendWorkspace } from '../files/workspace.ts';
import { traceSession } from '../telemetry/session-spans.ts';
import { BrokenArchive } from './files/archive-files.ts';
import type { KeptSession, RunningSandbox } from './kept-session.ts';
import type { ArchiveIdentity, ArchiveRecord, ArchiveState } from './record.ts';
import type { ArchiveSettings } from './settings.ts';
import { ArchiveStore } from './store.ts';
import { changedBy, mayChange, UnsavedChanges } from './unsaved-changes.ts';

/** Fraction of the configured time after which a checkpoint begins. The rest is for making it. */
const BEGIN_AFTER = 1 / 2;
/** Pause between two checkpoints of a session, as a multiple of the duration of the last one. */
const PAUSE = 10;
/** Longest such pause, in milliseconds. A slow engine, not the session, may have caused the long duration. */
const LONGEST_PAUSE_MS = 60_000;
/** Pause after a failed checkpoint, or while an execution continues, as a multiple of the configured time. */
const LATER = 6;
/** Speed limit of a checkpoint. The session's own work has priority. */
const BYTES_PER_SECOND = 64 * 1024 * 1024;
const MIB = 1024 * 1024;
const OWN_TRACE = { isRoot: true };

/** Error of an archive that turned out to be broken while a sandbox was filled. Half of it may be in that sandbox. */
export class HalfFilled extends Error {
  readonly loss: SandboxReset = { reason: 'archive_broken', lost: ['files', 'packages'] };
}

/** New archive of a session, and the entries missing from it. */
export interface CopiedArchive {
  readonly record: ArchiveRecord;
  readonly leftOut: LeftOut;
}

interface Saving {
  readonly done: Promise<unknown>;
  readonly cancel: AbortController;
}

/** Archive of one session on the control plane's disk: a checkpoint of an awake session, or a whole hibernated one. */
export class Checkpoints {
  readonly #session: KeptSession;
  readonly #archives: ArchiveSettings;
  #record: ArchiveRecord | undefined;
  readonly #changes = new UnsavedChanges();
  #timer: NodeJS.Timeout | undefined;
  /** Time of `performance.now()` at which the timer ends. */
  #due = 0;
  #notBefore = 0;
  #saving: Saving | undefined;

  constructor(session: KeptSession, archives: ArchiveSettings, record?: ArchiveRecord) {
    this.#session = session;
    this.#archives = archives;
    this.#record = record;
    // Nobody knows what has run since then.
    if (record && !record.at_rest) this.#changes.add(['files']);
  }

  get record(): ArchiveRecord | undefined {
    return this.#record;
  }

  /** Records that an execution begins or has ended, and schedules a checkpoint if it may change something. */
  markChanged(sandbox: RunningSandbox, request: ExecutionRequest, end?: ExecutionEnd): void {
    if (!mayChange(request)) return;
    if (end) this.#changes.add(changedBy(request, end));
    this.watch(sandbox);
  }

  /** Schedules a checkpoint. */
  watch(sandbox: RunningSandbox): void {
    this.#schedule(sandbox, BEGIN_AFTER);
  }

  /**
   * Records that the sandbox is gone. The session now consists of its archive, if it has one.
   * @param lost everything that was in the sandbox
   * @returns the part of it that the archive does not restore, and the time of the archive
   */
  loseSandbox(lost: readonly Losable[]): Pick<SandboxReset, 'lost' | 'restoredFrom'> {
    this.#stop();
    this.#notBefore = 0;
    this.#saving?.cancel.abort();
    const changed = this.#changes.lose();
    if (!this.#record) return { lost };
    const comesBack = (what: Losable) => (what === 'files' || what === 'packages') && !changed.has(what);
    const gone = lost.filter((what) => !comesBack(what));
    void this.#setHibernated(gone, 'sandbox');
    return { lost: gone, restoredFrom: this.#record.saved_at };
  }

  /**
   * Archives the whole session, so that its sandbox can be removed. The caller then checks whether the session was used
   * meanwhile, and calls `hibernate` if not.
   * @throws GloveboxError when it cannot be archived; then nothing has changed
   */
  async saveWhole(sandbox: RunningSandbox): Promise<{ readonly unreadable: number }> {
    this.#stop();
    await this.#saving?.done.catch(() => {});
    const options = { known: [], pack: true, evenIfEmpty: true };
    const save = () => this.#run((signal) => this.#save(sandbox, { signal, ...options }));
    return await this.#archives.metrics.follow('hibernation', () => sandbox.lost, save);
  }

  /**
   * Marks the session as hibernated: from now on it consists of its archive. With storage that is reached over a
   * network, it does so only once the promise resolves.
   * @throws GloveboxError when that cannot be recorded; then nothing has changed
   */
  hibernate(lost: readonly Losable[]): Promise<void> | undefined {
    this.#stop();
    const former = this.#record;
    return this.#setHibernated(lost)?.catch((error: unknown) => {
      // Nobody knows whether it was recorded. If so, it no longer counts.
      this.#record = former;
      if (former) void this.#update(former);
      throw error;
    });
  }

  /** Forgets the recorded loss, after a caller was told of it. */
  forgetLoss(): void {
    if (this.#record?.at_rest && this.#record.lost)
      void this.#update({ at_rest: true, lost: undefined, lost_with: undefined });
  }

  /**
   * Fills a new sandbox from the archive, if there is one. Returns the loss to report, if any.
   * @throws GloveboxError when the sandbox cannot be filled; the archive stays
   * @throws HalfFilled when the archive is broken; it is out of use, and so is the sandbox
   */
  async fill(sandbox: RunningSandbox): Promise<SandboxReset | undefined> {
    const { store } = this.#archives;
    await this.#saving?.done.catch(() => {});
    const record = this.#record;
    if (!record) return undefined;
    let missing = 0;
    try {
      const entries = store.readVerified(record, { packed: await sandbox.unpacks() });
      ({ missing } = await fillWorkspace(sandbox, entries, new AbortController().signal));
    } catch (error) {
      if (!(error instanceof BrokenArchive || error instanceof DamagedContents)) throw error;
      this.#archives.log.error('an archive is broken', { session: record.session_id, owner: record.owner, error });
      await this.#setAside();
      throw new HalfFilled('an archive is broken', { cause: error });
    }
    // A crash before this is written leaves the session hibernated. That is correct: no caller has an answer yet.
    const awake = store.updateSoon(record, { ...this.#holder, at_rest: false, lost: undefined, lost_with: undefined });
    if (awake.written !== undefined) await awake.written;
    this.#record = awake.record;
    const lost = inOrder(new Set([...(record.lost ?? []), ...(missing > 0 ? (['files'] as const) : [])]));
    if (lost.length === 0) return undefined;
    return record.lost_with === 'sandbox'
      ? { reason: 'sandbox_lost', lost, restoredFrom: record.saved_at }
      : { reason: 'hibernated', lost };
  }

  /**
   * Creates another archive of the session's current state.
   * @param sandbox undefined for a hibernated session
   */
  async copyTo(
    identity: ArchiveIdentity,
    sandbox: RunningSandbox | undefined,
    signal: AbortSignal,
  ): Promise<CopiedArchive> {
    const { store, limits } = this.#archives;
    if (!sandbox) {
      if (!this.#record) throw new GloveboxError('sandbox_lost', 'This session has nothing to archive.');
      await this.#verify(this.#record);
      return { record: await store.copy(this.#record, identity), leftOut: NOTHING_LEFT_OUT };
    }
    // What is sent on and removed would be packed only to be unpacked at once.
    const pack = !identity.passing;
    const sent = await sendWorkspace(sandbox, { signal, known: [], pack, maxBytes: limits.diskMb * MIB * 2 });
    try {
      return { record: await store.write(identity, sent.entries), leftOut: sent.leftOut() };
    } finally {
      await sent.close();
    }
  }

  /** Stops, and leaves the archive on the disk as it is. */
  async abandon(): Promise<void> {
    this.#stop();
    this.#saving?.cancel.abort();
    await this.#saving?.done.catch(() => {});
  }

  /** Removes the archive. */
  async discard(): Promise<void> {
    await this.#forget((record) => this.#archives.store.remove(record));
  }

  async #setAside(): Promise<void> {
    await this.#forget((record) => this.#archives.store.setAside(record));
  }

  async #forget(end: (record: ArchiveRecord) => Promise<void>): Promise<void> {
    await this.abandon();
    const record = this.#record;
    this.#record = undefined;
    if (record) await end(record);
  }

  #setHibernated(lost: readonly Losable[], lostWith?: ArchiveRecord['lost_with']): Promise<void> | undefined {
    return this.#update({ at_rest: true, ...(lost.length > 0 ? { lost: [...lost], lost_with: lostWith } : {}) });
  }

  #update({ at_rest, lost, lost_with }: ArchiveState): Promise<void> | undefined {
    if (!this.#record) return undefined;
    const updated = this.#archives.store.update(this.#record, { ...this.#holder, at_rest, lost, lost_with });
    this.#record = updated.record;
    return updated.written;
  }

  get #holder(): Pick<ArchiveRecord, 'generation'> {
    const { generation } = this.#session;
    return generation === undefined ? {} : { generation };
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
      const save = async (signal: AbortSignal) => {
        cancelled = signal;
        const known = this.#record ? await this.#archives.store.marks(this.#record) : [];
        // The session's own work goes first, and compression would take it processor time.
        const options = { pack: false, bytesPerSecond: BYTES_PER_SECOND, evenIfEmpty: false };
        await this.#save(sandbox, { signal, known, ...options });
      };
      const isOver = () => cancelled?.aborted === true;
      const run = () => traceSession('glovebox.session.checkpoint', this.#session, () => this.#run(save), OWN_TRACE);
      await this.#archives.metrics.follow('checkpoint', isOver, run);
    } catch (error) {
      // Its session was closed or lost its sandbox, so the checkpoint is no longer needed.
      if (cancelled?.aborted) return;
      failed = true;
      if (error instanceof BrokenArchive) await this.#setAside().catch(() => {});
      const { id: session, owner } = this.#session;
      this.#archives.log.warn('a checkpoint could not be made', { session, owner, error });
    }
    const wanted = this.#timer !== undefined || this.#changes.any;
    this.#stop();
    // The cause of the delay does not concern the next sandbox.
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
    const { saveLimitMs } = this.#archives;
    const limit = AbortSignal.timeout(saveLimitMs);
    const signal = AbortSignal.any([options.signal, limit]);
    const identity = this.#identify(new Date());
    return await this.#changes.save(async () => {
      const sent = await sendWorkspace(sandbox, { ...options, signal, maxBytes: limits.diskMb * MIB * 2 });
      try {
        if (sent.count > 0 || this.#record || options.evenIfEmpty) {
          const written = await store.write(identity, sent.entries, { previous: this.#record, signal });
          const state = this.#record;
          this.#record = written;
          if (!state) this.#session.onArchived?.();
          // Its sandbox was lost after this could still be broken off.
          if (options.signal.aborted && state) void this.#update(state);
        }
        // Read to the end. Ending the program by force could, on a busy machine, end everything else in the sandbox.
        else await sent.skip();
      } catch (error) {
        throw limit.aborted && !options.signal.aborted ? tookTooLong(saveLimitMs, error) : error;
      } finally {
        await sent.close();
      }
      return { unreadable: sent.unreadable() };
    });
  }

  #identify(now: Date): ArchiveIdentity {
    const { id, owner, createdAt, webPatterns } = this.#session;
    return {
      id: this.#record?.id ?? ArchiveStore.newId(),
      kind: 'session',
      owner,
      session_id: id,
      created_at: createdAt.toISOString(),
      saved_at: now.toISOString(),
      at_rest: false,
      ...(webPatterns ? { web: [...webPatterns] } : {}),
      ...this.#holder,
    };
  }

  async #verify(record: ArchiveRecord): Promise<void> {
    await this.#archives.store.verify(record).catch((cause: unknown) => {
      throw new GloveboxError('sandbox_lost', 'The archive of this session is broken.', { cause });
    });
  }
}

function tookTooLong(limitMs: number, cause: unknown): GloveboxError {
  return new GloveboxError('archive_unavailable', `The files were not saved within ${Math.round(limitMs / 1000)} s.`, {
    hint: 'Nothing is lost. Try again; the operator looks at how fast the storage of archives is.',
    cause,
  });
}
