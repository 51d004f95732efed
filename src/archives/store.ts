import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { copyFile, link, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { GloveboxError } from '../errors.ts';
import { unpack } from '../files/packed.ts';
import type { ArchivedContents, KeptEntry, SavedEntry } from '../files/workspace-entry.ts';
import { AsyncDisposables } from '../lib/disposables.ts';
import { replaceFile } from '../lib/replace-file.ts';
import {
  type ArchiveIdentity,
  type ArchiveRecord,
  type ArchiveState,
  type IndexedEntry,
  recordSchema,
} from './record.ts';
import { BrokenArchive, PartReader, readVerified, type SummedFile, SummingWriter, verify } from './segments.ts';

const RECORD = 'archive.json';
/** Largest ratio of unused to used bytes. Beyond it, the next save writes the whole archive again. */
const MOST_WASTE = 2;
/** Number of unused bytes that are always tolerated. */
const WASTE_BYTES = 1024 * 1024;
/** Number of segments from which the next save writes the whole archive again. */
const MOST_SEGMENTS = 16;
/** Smallest size that an archive is counted with, in bytes. Even an empty one has files on the disk. */
const LEAST_BYTES = 16 * 1024;

type Entries = AsyncGenerator<ArchivedContents, void, undefined>;
type Place = Pick<IndexedEntry, 'segment' | 'offset' | 'packed'>;
/** How entries are read. */
interface Reading {
  readonly hardLinks: 'kept' | 'copied';
  /** Whether compressed contents stay compressed. */
  readonly packed: boolean;
  readonly open: (path: string, segment: SummedFile) => Promise<PartReader>;
}
type RecordedFiles = Omit<ArchiveRecord, keyof ArchiveIdentity>;

/**
 * Stores archives on the control plane's own disk, each in a folder with:
 * - segments, which hold file contents and never change;
 * - an index, which lists the current entries;
 * - a record of both. Replacing the record commits a new state.
 *
 * Two archives may share segments as hard links. Files that no record names are removed at the start.
 */
export class ArchiveStore {
  readonly #directory: string;
  readonly #maxBytes: number;
  readonly #records = new Map<string, ArchiveRecord>();
  /** Bytes of all archives, and of those being written. */
  #used = 0;

  constructor(directory: string, maxBytes: number) {
    this.#directory = directory;
    this.#maxBytes = maxBytes;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    for (const id of readdirSync(directory)) this.#load(id);
  }

  get records(): ArchiveRecord[] {
    return [...this.#records.values()];
  }

  get(id: string): ArchiveRecord | undefined {
    return this.#records.get(id);
  }

  static newId(): string {
    return `snp_${randomBytes(12).toString('hex')}`;
  }

  /**
   * Writes a new state of an archive. It is committed when the promise resolves. Entries without a body keep their
   * contents of `previous`. If the write fails or the signal aborts, the old state stays.
   * @throws GloveboxError `capacity_exceeded` when there is no room; any error of `entries`
   */
  async write(
    identity: ArchiveIdentity,
    entries: AsyncIterable<SavedEntry>,
    { previous, signal }: { readonly previous?: ArchiveRecord | undefined; readonly signal?: AbortSignal } = {},
  ): Promise<ArchiveRecord> {
    const room = this.#reservation();
    await mkdir(this.#pathOf(identity.id), { recursive: true, mode: 0o700 });
    try {
      const known = previous ? await this.#indexOf(previous) : new Map<string, IndexedEntry>();
      const files = await this.#writeFiles(identity.id, entries, { known, previous, reserve: room.reserve });
      const record = { ...identity, ...files };
      signal?.throwIfAborted();
      this.#commit(record, { flush: files.index !== previous?.index });
      return record;
    } catch (error) {
      throw asFull(error);
    } finally {
      room.release();
      await this.#tidy(identity.id);
    }
  }

  /** Creates another archive with the same contents, as hard links where possible. */
  async copy(record: ArchiveRecord, identity: ArchiveIdentity): Promise<ArchiveRecord> {
    const target = this.#pathOf(identity.id);
    const room = this.#reservation();
    room.reserve(sizeOf(record));
    await mkdir(target, { recursive: true, mode: 0o700 });
    try {
      for (const name of namesOf(record)) {
        const [from, to] = [join(this.#pathOf(record.id), name), join(target, name)];
        await link(from, to).catch(() => copyFile(from, to));
      }
      const copied = { ...identity, ...filesOf(record) };
      this.#commit(copied, { flush: true });
      return copied;
    } catch (error) {
      throw asFull(error);
    } finally {
      room.release();
      await this.#tidy(identity.id);
    }
  }

  /** Changes the state in a record and writes it at once, so that a crash of this process cannot undo the change. */
  update(id: string, changes: ArchiveState): void {
    this.#change(id, changes);
    this.#rewrite(id);
  }

  /** Changes the state in a record and writes it a moment later. A crash before that undoes the change. */
  updateSoon(id: string, changes: ArchiveState): void {
    this.#change(id, changes);
    setImmediate(() => this.#rewrite(id));
  }

  /** Forgets an archive, then removes it. */
  async remove(id: string): Promise<void> {
    this.#enter(id);
    await this.#tidy(id);
  }

  /** Checks all files of an archive. @throws BrokenArchive when one differs from what was written */
  async verify(record: ArchiveRecord): Promise<void> {
    const path = this.#pathOf(record.id);
    await verify(join(path, `${record.index.number}.index`), record.index);
    for (const segment of record.segments) await verify(join(path, `${segment.number}.data`), segment);
  }

  /** Lists the entries of an archive, without contents. */
  async entries(record: ArchiveRecord): Promise<Iterable<KeptEntry>> {
    return (await this.#indexOf(record)).values();
  }

  /** Reads the entries of an archive, in the order in which they can be restored. */
  read(record: ArchiveRecord, { hardLinks }: { readonly hardLinks: 'kept' | 'copied' }): Entries {
    return this.#read(record, { hardLinks, packed: false, open: (path) => PartReader.open(path) });
  }

  /**
   * Reads the entries of an archive with hard links, and verifies it meanwhile. What it yields counts only once it has
   * ended well.
   * @param options `packed`: whether contents that are compressed stay so
   * @throws BrokenArchive when a file is not as written, at the latest after the last entry
   */
  readVerified(record: ArchiveRecord, { packed }: { readonly packed: boolean }): Entries {
    const open = (path: string, segment: SummedFile) => PartReader.openToVerify(path, segment);
    return this.#read(record, { hardLinks: 'kept', packed, open });
  }

  async *#read(record: ArchiveRecord, { hardLinks, packed: keepsPacked, open }: Reading): Entries {
    const index = await this.#indexOf(record);
    await using stack = new AsyncDisposables();
    const readers = new Map<number, PartReader>();
    for (const segment of record.segments)
      readers.set(
        segment.number,
        stack.use(await open(join(this.#pathOf(record.id), `${segment.number}.data`), segment)),
      );
    for (const { path, ...own } of index.values()) {
      const linked = own.type === 'hard' && hardLinks === 'copied' ? index.get(own.target ?? '') : undefined;
      const { segment = 0, offset = 0, packed, ...entry } = { ...own, ...linked, path };
      const place = packed ?? { segment, offset, bytes: entry.size };
      const reader = readers.get(place.segment);
      if (entry.size > 0 && !reader) throw new BrokenArchive('a segment is missing');
      const body = reader ? reader.read(place.offset, place.bytes) : nothing();
      if (!packed) yield { entry, body };
      else if (keepsPacked) yield { entry, body, packed: packed.bytes };
      else yield { entry, body: unpack(body, entry.size, damaged) };
    }
    for (const reader of readers.values()) await reader.verified();
  }

  /** Lists the files that have a mark. Empty if the next save should write everything again. */
  async marks(record: ArchiveRecord): Promise<{ path: string; mark: string }[]> {
    const stored = record.segments.reduce((sum, { bytes }) => sum + bytes, 0);
    if (record.segments.length >= MOST_SEGMENTS || stored > record.bytes * MOST_WASTE + WASTE_BYTES) return [];
    const index = await this.#indexOf(record);
    return [...index.values()].flatMap(({ type, path, mark }) => (type === 'file' && mark ? [{ path, mark }] : []));
  }

  async #writeFiles(
    id: string,
    entries: AsyncIterable<SavedEntry>,
    options: {
      readonly known: ReadonlyMap<string, IndexedEntry>;
      readonly previous: ArchiveRecord | undefined;
      readonly reserve: (bytes: number) => void;
    },
  ): Promise<RecordedFiles> {
    const { known, previous, reserve } = options;
    const number = (previous?.index.number ?? 0) + 1;
    const path = (name: string) => join(this.#pathOf(id), name);
    await using segment = await SummingWriter.create(path(`${number}.data`), reserve);
    await using index = await SummingWriter.create(path(`${number}.index`), reserve);
    const used = new Set<number>();
    let [count, bytes] = [0, 0];
    for await (const { entry, body, packed } of entries) {
      const offset = segment.bytes;
      if (body) for await (const piece of body) await segment.write(piece);
      const own = packed
        ? { packed: { segment: number, offset, bytes: segment.bytes - offset } }
        : { segment: number, offset };
      const place: Place = body ? own : placeOf(known.get(entry.path), entry.size);
      const holder = place.packed?.segment ?? place.segment;
      if (entry.size > 0 && holder !== undefined) used.add(holder);
      await index.write(Buffer.from(`${JSON.stringify({ ...entry, ...(entry.type === 'file' ? place : {}) })}\n`));
      count += 1;
      bytes += entry.size;
    }
    const summed = [await segment.finish(number), await index.finish(number)] as const;
    // Nothing has changed, so the old files stay.
    if (previous && summed[1].sha256 === previous.index.sha256) return filesOf(previous);
    await Promise.all([segment.sync(), index.sync()]);
    const segments = [...(previous?.segments ?? []), summed[0]].filter((file) => used.has(file.number));
    return { entries: count, bytes, index: summed[1], segments };
  }

  async #indexOf(record: ArchiveRecord): Promise<Map<string, IndexedEntry>> {
    const path = join(this.#pathOf(record.id), `${record.index.number}.index`);
    const lines = (await readVerified(path, record.index)).toString('utf8').split('\n').filter(Boolean);
    return new Map(lines.map((line) => JSON.parse(line) as IndexedEntry).map((entry) => [entry.path, entry]));
  }

  #commit(record: ArchiveRecord, options: { readonly flush: boolean }): void {
    replaceFile(join(this.#pathOf(record.id), RECORD), JSON.stringify(record), options);
    this.#enter(record.id, record);
  }

  #change(id: string, changes: ArchiveState): void {
    const record = this.#records.get(id);
    if (record) this.#enter(id, { ...record, ...changes });
  }

  #rewrite(id: string): void {
    const record = this.#records.get(id);
    try {
      if (record) this.#commit(record, { flush: false });
    } catch {
      // The disk is full. The old record on disk is outdated, but safe to restart from.
    }
  }

  #enter(id: string, record?: ArchiveRecord): void {
    const former = this.#records.get(id);
    this.#used += (record ? sizeOf(record) : 0) - (former ? sizeOf(former) : 0);
    if (record) this.#records.set(id, record);
    else this.#records.delete(id);
  }

  /** Loads the record of an archive. Removes the archive if the record cannot be read, because its owner is unknown. */
  #load(id: string): void {
    try {
      const record = recordSchema.parse(JSON.parse(readFileSync(join(this.#pathOf(id), RECORD), 'utf8')));
      if (record.id !== id || record.passing) throw new BrokenArchive('it was temporary, or has another name');
      this.#enter(id, record);
      const named = new Set([RECORD, ...namesOf(record)]);
      for (const name of readdirSync(this.#pathOf(id)))
        if (!named.has(name)) rmSync(join(this.#pathOf(id), name), { recursive: true, force: true });
    } catch {
      rmSync(this.#pathOf(id), { recursive: true, force: true });
    }
  }

  /** Removes the files that the record does not name, or the whole folder if there is no record. */
  async #tidy(id: string): Promise<void> {
    const path = this.#pathOf(id);
    const record = this.#records.get(id);
    if (!record) return await rm(path, { recursive: true, force: true });
    const named = new Set([RECORD, ...namesOf(record)]);
    for (const name of await readdir(path)) if (!named.has(name)) await rm(join(path, name), { force: true });
  }

  #reservation(): { reserve(bytes: number): void; release(): void } {
    let reserved = 0;
    const reserve = (bytes: number) => {
      if (this.#used + bytes > this.#maxBytes) throw noRoom();
      reserved += bytes;
      this.#used += bytes;
    };
    const release = () => {
      this.#used -= reserved;
    };
    return { reserve, release };
  }

  #pathOf(id: string): string {
    return join(this.#directory, id);
  }
}

function filesOf({ entries, bytes, index, segments }: ArchiveRecord): RecordedFiles {
  return { entries, bytes, index, segments };
}

function namesOf({ index, segments }: ArchiveRecord): string[] {
  return [`${index.number}.index`, ...segments.map(({ number }) => `${number}.data`)];
}

/** Returns the bytes that an archive counts for. Shared contents count for each archive. */
function sizeOf({ index, segments }: ArchiveRecord): number {
  return segments.reduce((sum, { bytes }) => sum + bytes, Math.max(LEAST_BYTES, index.bytes));
}

function placeOf(known: IndexedEntry | undefined, size: number): Place {
  if (size === 0) return {};
  if (known?.packed && known.size === size) return { packed: known.packed };
  if (known?.segment === undefined || known.offset === undefined || known.size !== size)
    throw new BrokenArchive('an entry has no contents');
  return { segment: known.segment, offset: known.offset };
}

async function* nothing(): AsyncGenerator<Buffer, void, undefined> {}

function damaged(cause?: unknown): BrokenArchive {
  return new BrokenArchive('contents in an archive are damaged', { cause });
}

function noRoom(): GloveboxError {
  return new GloveboxError('capacity_exceeded', 'There is no room for another archive.', {
    hint: 'Delete snapshots or close sessions that are no longer needed, or have the operator raise GLOVEBOX_ARCHIVE_MB.',
    restHint:
      'DELETE /snapshots/{id} or /sessions/{id} that are no longer needed, or have the operator raise GLOVEBOX_ARCHIVE_MB.',
  });
}

function asFull(error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return code === 'ENOSPC' || code === 'EDQUOT' ? noRoom() : error;
}
