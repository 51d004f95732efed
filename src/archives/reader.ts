import { unpack } from '../files/packed.ts';
import type { ArchivedContents, KeptEntry } from '../files/workspace-entry.ts';
import { AsyncDisposables } from '../lib/disposables.ts';
import { type ArchiveFiles, BrokenArchive } from './files/archive-files.ts';
import type { ArchiveRecord, IndexedEntry } from './record.ts';
import { PartReader, readVerified, verify } from './segments.ts';

/** Largest ratio of unused to used bytes. Beyond it, the next save writes the whole archive again. */
const MOST_WASTE = 2;
/** Number of unused bytes that are always tolerated. */
const WASTE_BYTES = 1024 * 1024;
/** Number of segments from which the next save writes the whole archive again. */
const MOST_SEGMENTS = 16;

type Entries = AsyncGenerator<ArchivedContents, void, undefined>;
/** How entries are read. */
interface Reading {
  readonly hardLinks: 'kept' | 'copied';
  /** Whether compressed contents stay compressed. */
  readonly packed: boolean;
  readonly verify: boolean;
}

/** Reads archives by their records. */
export class ArchiveReader {
  readonly #files: ArchiveFiles;

  constructor(files: ArchiveFiles) {
    this.#files = files;
  }

  /** Checks all files of an archive. @throws BrokenArchive when one differs from what was written */
  async verify(record: ArchiveRecord): Promise<void> {
    await this.indexOf(record);
    for (const segment of record.segments) {
      await using source = await this.#files.open(record, 'data', segment);
      await verify(source, segment);
    }
  }

  /** Lists the entries of an archive, without contents. */
  async entries(record: ArchiveRecord): Promise<Iterable<KeptEntry>> {
    return (await this.indexOf(record)).values();
  }

  /** Reads the entries of an archive, in the order in which they can be restored. */
  read(record: ArchiveRecord, { hardLinks }: { readonly hardLinks: 'kept' | 'copied' }): Entries {
    return this.#read(record, { hardLinks, packed: false, verify: false });
  }

  /**
   * Reads the entries of an archive with hard links, and verifies it meanwhile. What it yields counts only once it has
   * ended well.
   * @param options `packed`: whether contents that are compressed stay so
   * @throws BrokenArchive when a file is not as written, at the latest after the last entry
   */
  readVerified(record: ArchiveRecord, { packed }: { readonly packed: boolean }): Entries {
    return this.#read(record, { hardLinks: 'kept', packed, verify: true });
  }

  /** Lists the files that have a mark. Empty if the next save should write everything again. */
  async marks(record: ArchiveRecord): Promise<{ path: string; mark: string }[]> {
    const stored = record.segments.reduce((sum, { bytes }) => sum + bytes, 0);
    if (record.segments.length >= MOST_SEGMENTS || stored > record.bytes * MOST_WASTE + WASTE_BYTES) return [];
    const index = await this.indexOf(record);
    return [...index.values()].flatMap(({ type, path, mark }) => (type === 'file' && mark ? [{ path, mark }] : []));
  }

  /** Reads the index of an archive. @throws BrokenArchive when it is not as written */
  async indexOf(record: ArchiveRecord): Promise<Map<string, IndexedEntry>> {
    await using source = await this.#files.open(record, 'index', record.index);
    const lines = (await readVerified(source, record.index)).toString('utf8').split('\n').filter(Boolean);
    return new Map(lines.map((line) => JSON.parse(line) as IndexedEntry).map((entry) => [entry.path, entry]));
  }

  async *#read(record: ArchiveRecord, { hardLinks, packed: keepsPacked, verify: verifies }: Reading): Entries {
    const index = await this.indexOf(record);
    await using stack = new AsyncDisposables();
    const readers = new Map<number, PartReader>();
    for (const segment of record.segments) {
      const source = await this.#files.open(record, 'data', segment);
      readers.set(segment.number, stack.use(new PartReader(source, verifies ? segment : undefined)));
    }
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
}

async function* nothing(): AsyncGenerator<Buffer, void, undefined> {}

function damaged(cause?: unknown): BrokenArchive {
  return new BrokenArchive('contents in an archive are damaged', { cause });
}
