import { randomBytes } from 'node:crypto';
import { GloveboxError } from '../errors.ts';
import type { SavedEntry } from '../files/workspace-entry.ts';
import {
  type ArchiveChange,
  type ArchiveFiles,
  BrokenArchive,
  type SummedFile,
  type WantedRecords,
} from './files/archive-files.ts';
import { ArchiveReader } from './reader.ts';
import {
  type ArchiveIdentity,
  type ArchiveRecord,
  type ArchiveState,
  filesOf,
  type IndexedEntry,
  type RecordedFiles,
  sizeOf,
} from './record.ts';
import { SummingWriter } from './segments.ts';

type Place = Pick<IndexedEntry, 'segment' | 'offset' | 'packed'>;

/** Changed record. */
export interface UpdatedRecord {
  readonly record: ArchiveRecord;
  /**
   * Resolves when the change survives a crash; rejects when it could not be written. Undefined: no need to wait. It may
   * be ignored.
   */
  readonly written: Promise<void> | undefined;
}

/**
 * Stores archives, each of which has:
 * - segments, which hold file contents and never change;
 * - an index, which lists the current entries;
 * - a record of both. Replacing the record commits a new state.
 */
export class ArchiveStore extends ArchiveReader {
  readonly #files: ArchiveFiles;
  readonly #maxBytes: number;
  /** Bytes of archives that are being written. */
  #reserved = 0;

  constructor(files: ArchiveFiles, maxBytes: number) {
    super(files);
    this.#files = files;
    this.#maxBytes = maxBytes;
  }

  /** Bytes of all archives. */
  get usedBytes(): number {
    return this.#files.usedBytes;
  }

  /** Lists the records of archives. */
  async records(wanted: WantedRecords = {}): Promise<readonly ArchiveRecord[]> {
    return await this.#files.list(wanted);
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
    return await this.#change(identity, previous, async (change, reserve) => {
      const known = previous ? await this.indexOf(previous) : new Map<string, IndexedEntry>();
      const files = await writeFiles(change, entries, { known, previous, reserve });
      const record = { ...identity, ...files };
      signal?.throwIfAborted();
      await change.commit(record, { flush: files.index !== previous?.index });
      return record;
    });
  }

  /** Creates another archive with the same contents, as hard links where possible. */
  async copy(record: ArchiveRecord, identity: ArchiveIdentity): Promise<ArchiveRecord> {
    return await this.#change(identity, undefined, async (change, reserve) => {
      reserve(sizeOf(record));
      await change.copy(record);
      const copied = { ...identity, ...filesOf(record) };
      await change.commit(copied, { flush: true });
      return copied;
    });
  }

  /** Changes the state in a record and writes it at once, so that a crash of this process cannot undo the change. */
  update(record: ArchiveRecord, changes: ArchiveState): UpdatedRecord {
    return this.#update(record, changes, { soon: false });
  }

  /** Changes the state in a record and writes it a moment later. On a disk, a crash before that undoes the change. */
  updateSoon(record: ArchiveRecord, changes: ArchiveState): UpdatedRecord {
    return this.#update(record, changes, { soon: true });
  }

  /** Forgets an archive, then removes it. */
  async remove(record: ArchiveIdentity): Promise<void> {
    await this.#files.remove(record);
  }

  /** Takes a broken archive out of use. */
  async setAside(record: ArchiveRecord): Promise<void> {
    await this.#files.setAside(record);
  }

  #update(record: ArchiveRecord, changes: ArchiveState, options: { readonly soon: boolean }): UpdatedRecord {
    const changed = { ...record, ...changes };
    const written = this.#files.rewrite(changed, options);
    // Those who do not wait need not hear of it: the former record is outdated, but safe to restart from.
    written?.catch(() => {});
    return { record: changed, written };
  }

  async #change<T>(
    identity: ArchiveIdentity,
    previous: ArchiveRecord | undefined,
    work: (change: ArchiveChange, reserve: (bytes: number) => void) => Promise<T>,
  ): Promise<T> {
    let reserved = 0;
    const reserve = (bytes: number) => {
      if (this.#files.usedBytes + this.#reserved + bytes > this.#maxBytes) throw noRoom();
      reserved += bytes;
      this.#reserved += bytes;
    };
    try {
      await using change = await this.#files.change(identity, previous);
      return await work(change, reserve);
    } catch (error) {
      throw asFull(error);
    } finally {
      this.#reserved -= reserved;
    }
  }
}

async function writeFiles(
  change: ArchiveChange,
  entries: AsyncIterable<SavedEntry>,
  options: {
    readonly known: ReadonlyMap<string, IndexedEntry>;
    readonly previous: ArchiveRecord | undefined;
    readonly reserve: (bytes: number) => void;
  },
): Promise<RecordedFiles> {
  const { known, previous, reserve } = options;
  const { number } = change;
  await using segment = new SummingWriter(await change.create('data'), reserve);
  await using index = new SummingWriter(await change.create('index'), reserve);
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
  const summed = [await segment.end(number), await index.end(number)] as const;
  // Nothing has changed, so the old files stay.
  if (previous && summed[1].sha256 === previous.index.sha256) return filesOf(previous);
  const isUsed = (file: SummedFile) => used.has(file.number);
  const [own, listed] = await Promise.all([
    isUsed(summed[0]) ? segment.finish(summed[0]) : summed[0],
    index.finish(summed[1]),
  ]);
  return { entries: count, bytes, index: listed, segments: [...(previous?.segments ?? []), own].filter(isUsed) };
}

function placeOf(known: IndexedEntry | undefined, size: number): Place {
  if (size === 0) return {};
  if (known?.packed && known.size === size) return { packed: known.packed };
  if (known?.segment === undefined || known.offset === undefined || known.size !== size)
    throw new BrokenArchive('an entry has no contents');
  return { segment: known.segment, offset: known.offset };
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
