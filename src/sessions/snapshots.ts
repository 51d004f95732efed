import { BrokenArchive } from '../archives/files/archive-files.ts';
import type { ArchiveIdentity, ArchiveRecord } from '../archives/record.ts';
import { ArchiveStore } from '../archives/store.ts';
import { GloveboxError } from '../errors.ts';
import type { TarStream } from '../files/session-files.ts';
import type { ArchivedContents, KeptEntry, SavedEntry } from '../files/workspace-entry.ts';
import { type ArchivedEntry, EntryChecker } from '../tar/entry.ts';
import { spellName } from '../tar/names.ts';
import { readTar } from '../tar/reader.ts';
import { writeTar } from '../tar/writer.ts';
import type { SessionSummary } from './identity.ts';
import type { Sessions } from './sessions.ts';

/** Snapshots that one owner may keep. */
const MOST_SNAPSHOTS = 100;
/** Most entries of an imported tar. */
const MAX_ENTRIES = 200_000;

const NO_LIMITS = {
  maxEntries: Number.POSITIVE_INFINITY,
  maxBytes: Number.POSITIVE_INFINITY,
  maxPathBytes: Number.POSITIVE_INFINITY,
};

/** Snapshot as its owner sees it. */
export interface SnapshotSummary {
  snapshot_id: string;
  /** Id of the session that it was made from. */
  session_id: string;
  /** Size of all its files in bytes. */
  size: number;
  /** Creation time in ISO 8601. */
  created_at: string;
}

/** Copies sessions: as snapshots, as new sessions, or as tar files. */
export class Snapshots {
  readonly #sessions: Sessions;
  readonly #store: ArchiveStore;

  constructor(sessions: Sessions, store: ArchiveStore) {
    this.#sessions = sessions;
    this.#store = store;
  }

  /** Creates a snapshot of a session. @throws GloveboxError `session_not_found`, `capacity_exceeded` */
  async make(owner: string, sessionId: string, signal: AbortSignal): Promise<SnapshotSummary> {
    const session = this.#sessions.get(owner, sessionId);
    if ((await this.#of(owner)).length >= MOST_SNAPSHOTS)
      throw new GloveboxError('capacity_exceeded', `You have ${MOST_SNAPSHOTS} snapshots.`, {
        hint: 'Delete those that are no longer needed: DELETE /snapshots/{id}.',
      });
    return summarize(
      (await session.copyTo(identify('snapshot', owner, sessionId, session.webPatterns), signal)).record,
    );
  }

  /** Lists the owner's snapshots, the oldest first. */
  async list(owner: string): Promise<SnapshotSummary[]> {
    return (await this.#of(owner)).map(summarize).sort((a, b) => a.created_at.localeCompare(b.created_at));
  }

  /** Deletes a snapshot. @throws GloveboxError `not_found` if it is unknown or has another owner */
  async delete(owner: string, id: string): Promise<void> {
    await this.#store.remove(await this.#get(owner, id));
  }

  /**
   * Creates a session as a copy of another one, which may reach the same hosts.
   * @throws GloveboxError `invalid_input` for a name that is taken
   */
  async fork(owner: string, sessionId: string, name: string | undefined, signal: AbortSignal): Promise<SessionSummary> {
    const session = this.#sessions.get(owner, sessionId);
    const id = this.#sessions.nameNew(owner, name);
    const identity = identify('session', owner, id, session.webPatterns);
    return await this.#enter((await session.copyTo(identity, signal)).record);
  }

  /**
   * Creates a session from a snapshot.
   * @param web patterns of hosts to which it is narrowed. Default: those of the snapshot
   * @throws GloveboxError `not_found`, `invalid_input`
   */
  async open(
    owner: string,
    snapshotId: string,
    name: string | undefined,
    web?: readonly string[],
  ): Promise<SessionSummary> {
    const snapshot = await this.#get(owner, snapshotId);
    const id = this.#sessions.nameNew(owner, name);
    const webPatterns = this.#sessions.narrow(owner, web, snapshot.web);
    await this.#verify(snapshot);
    return await this.#enter(await this.#store.copy(snapshot, identify('session', owner, id, webPatterns)));
  }

  /** Exports a session's workspace as a tar, without links that lead out of it. */
  async export(owner: string, sessionId: string, signal: AbortSignal): Promise<TarStream> {
    const session = this.#sessions.get(owner, sessionId);
    const identity = { ...identify('snapshot', owner, sessionId), passing: true };
    const { record, leftOut } = await session.copyTo(identity, signal);
    const close = async () => await this.#store.remove(record);
    try {
      const names = leftOutOf(await this.#store.entries(record));
      const all = { count: leftOut.count + names.length, names: [...leftOut.names, ...names] };
      return { bytes: writeTar(toTar(this.#store.read(record, { hardLinks: 'copied' }))), close, leftOut: all };
    } catch (error) {
      await close();
      throw error;
    }
  }

  /**
   * Creates a session from an untrusted tar.
   * @param web patterns of hosts to which it is narrowed
   * @throws GloveboxError `invalid_input`, `payload_too_large`; then no session is created
   */
  async import(
    owner: string,
    name: string | undefined,
    tar: AsyncIterable<Uint8Array>,
    maxBytes: number,
    web?: readonly string[],
  ): Promise<SessionSummary> {
    const id = this.#sessions.nameNew(owner, name);
    const webPatterns = this.#sessions.narrow(owner, web);
    const entries = fromTar(readTar(tar, { maxEntries: MAX_ENTRIES, maxBytes }));
    return await this.#enter(await this.#store.write(identify('session', owner, id, webPatterns), entries));
  }

  /** Creates the session, and removes the archive if the name was taken meanwhile. */
  async #enter(record: ArchiveRecord): Promise<SessionSummary> {
    try {
      return await this.#sessions.adoptArchive(record);
    } catch (error) {
      await this.#store.remove(record);
      throw error;
    }
  }

  async #of(owner: string): Promise<ArchiveRecord[]> {
    return (await this.#store.records({ kind: 'snapshot', owner })).filter(({ passing }) => !passing);
  }

  async #get(owner: string, id: string): Promise<ArchiveRecord> {
    const record = (await this.#of(owner)).find((candidate) => candidate.id === id);
    if (record) return record;
    throw new GloveboxError('not_found', `Unknown snapshot ${JSON.stringify(id.slice(0, 64))}.`, {
      hint: 'See GET /snapshots for those there are.',
    });
  }

  async #verify(record: ArchiveRecord): Promise<void> {
    try {
      await this.#store.verify(record);
    } catch (cause) {
      if (!(cause instanceof BrokenArchive)) throw cause;
      throw new GloveboxError('not_found', 'This snapshot is broken: what is on the disk is not what was written.', {
        hint: 'Delete it, and make another of the session if that is still there.',
        cause,
      });
    }
  }
}

function identify(
  kind: ArchiveIdentity['kind'],
  owner: string,
  sessionId: string,
  web?: readonly string[],
): ArchiveIdentity {
  const now = new Date().toISOString();
  const times = { created_at: now, saved_at: now };
  const narrowed = web ? { web: [...web] } : {};
  return { id: ArchiveStore.newId(), kind, owner, session_id: sessionId, ...times, at_rest: true, ...narrowed };
}

function summarize(record: ArchiveRecord): SnapshotSummary {
  const { id, session_id, bytes, created_at } = record;
  return { snapshot_id: id, session_id, size: bytes, created_at };
}

async function* toTar(entries: AsyncIterable<ArchivedContents>): AsyncGenerator<ArchivedEntry, void, undefined> {
  const checker = new EntryChecker(NO_LIMITS);
  for await (const { entry, body } of entries) {
    const checked = check(checker, entry);
    if (checked) yield { entry: checked, body };
  }
}

function leftOutOf(entries: Iterable<KeptEntry>): string[] {
  const checker = new EntryChecker(NO_LIMITS);
  const names: string[] = [];
  for (const entry of entries) if (!isPassing(entry) && !check(checker, entry)) names.push(spellName(entry.path));
  return names;
}

/** Whether an entry is in `/tmp`, which a tar does not contain. */
function isPassing({ path }: KeptEntry): boolean {
  return path.startsWith('/');
}

/** Checks an entry. Returns undefined for one that a tar should not contain. */
function check(checker: EntryChecker, kept: KeptEntry): ArchivedEntry['entry'] | undefined {
  if (isPassing(kept)) return undefined;
  const { path, type, size, mode, modified_ms: modifiedMs, target = '' } = kept;
  const entry = { path, type: type === 'hard' ? 'file' : type, size, mode, modifiedMs } as const;
  try {
    return checker.check(type === 'link' ? { ...entry, target } : entry);
  } catch (error) {
    if (error instanceof GloveboxError && error.code === 'invalid_input') return undefined;
    throw error;
  }
}

async function* fromTar(entries: AsyncIterable<ArchivedEntry>): AsyncGenerator<SavedEntry, void, undefined> {
  for await (const { entry, body } of entries) {
    const { modifiedMs, ...fields } = entry;
    const kept = { ...fields, modified_ms: modifiedMs };
    yield entry.type === 'file' ? { entry: kept, body } : { entry: kept };
  }
}
