import { ByteReader } from './byte-reader.ts';
import { decompressed } from './compression.ts';
import { type ArchivedEntry, type ArchiveEntry, type ArchiveLimits, EntryChecker, refused } from './entry.ts';
import { BLOCK, notTar, parseHeader, type RawHeader, textOf } from './header.ts';
import { decodeName } from './names.ts';
import { NO_RECORDS, type PaxRecords, parseCount, parsePax, parseTime } from './pax.ts';
import { fillHoles, isConsistent, readSparseMap, type SparseMap, sparseName } from './sparse.ts';

/** Latest time of an entry, in milliseconds since 1970. */
const LATEST_MS = Date.UTC(9999, 11, 31);
/** Bytes of the records that describe an entry, or of one long name. */
const MAX_DESCRIPTION = 1024 * 1024;
/** Bytes that a tar may have besides the contents of files: each entry has a header, and more if its name is long. */
const MAX_OVERHEAD = 64 * 1024 * 1024;
const ZERO_BLOCK = Buffer.alloc(BLOCK);

/** Records in front of an entry that describe it. */
interface Description {
  /** Global records, for all entries that follow. */
  common: PaxRecords;
  /** Records of the next entry, with the global ones. */
  pax: PaxRecords;
  name?: Buffer;
  link?: Buffer;
}

/** Contents of an entry, as stored in the tar. */
interface Stored {
  /** Bytes that are still to be read. */
  left: number;
  /** Bytes that fill the last block. */
  readonly padding: number;
  readonly map: SparseMap | undefined;
}

/**
 * Yields the entries of an untrusted tar (v7, ustar, GNU, star or pax; uncompressed or in gzip). Each one is checked
 * before it is yielded. Devices, FIFOs and other special entries are refused.
 * @throws GloveboxError `invalid_input` or `payload_too_large`; errors of the source
 */
export async function* readTar(
  source: AsyncIterable<Uint8Array>,
  limits: ArchiveLimits,
): AsyncGenerator<ArchivedEntry, void, undefined> {
  const checker = new EntryChecker(limits);
  const bytes = new ByteReader(decompressed(source, limits.maxBytes * 2 + MAX_OVERHEAD));
  let described: Description = { common: NO_RECORDS, pax: NO_RECORDS };
  let [ended, empty] = [false, 0];
  try {
    for (;;) {
      const block = await bytes.take(BLOCK);
      if (block.length === 0 && ended) return;
      if (block.length < BLOCK) throw notTar('it ends too early');
      // Another tar may follow the end of the first. Its files must not be left out silently.
      ended = block.equals(ZERO_BLOCK);
      empty = ended ? empty + BLOCK : 0;
      if (empty > MAX_OVERHEAD) throw notTar('it has too many empty blocks');
      if (ended) continue;
      const header = parseHeader(block);
      if (await describe(described, header, bytes)) continue;
      const { entry, stored } = await readEntry(header, block, described, bytes);
      described = { common: described.common, pax: described.common };
      const checked = checker.check(entry);
      if (checked) yield { entry: checked, body: contents(bytes, stored) };
      await skip(bytes, stored.left + stored.padding);
    }
  } finally {
    await bytes.close();
  }
}

/** Reads a block that describes the next entry, or that is ignored. False when the block is an entry itself. */
async function describe(described: Description, header: RawHeader, bytes: ByteReader): Promise<boolean> {
  switch (header.type) {
    case 'g':
      described.common = parsePax(await takeText(bytes, header), described.common);
      described.pax = described.common;
      return true;
    case 'x':
    case 'X':
      described.pax = parsePax(await takeText(bytes, header), described.common);
      return true;
    case 'L':
      described.name = textOf(await takeText(bytes, header));
      return true;
    case 'K':
      described.link = textOf(await takeText(bytes, header));
      return true;
    // Volume labels, and access control lists of Solaris.
    case 'V':
    case 'A':
      await takeText(bytes, header);
      return true;
    default:
      return false;
  }
}

async function takeText(bytes: ByteReader, { size }: RawHeader): Promise<Buffer> {
  if (!(size >= 0 && size <= MAX_DESCRIPTION)) throw notTar('the description of an entry is too long');
  const text = await bytes.take(size + paddingOf(size));
  if (text.length < size) throw notTar('it ends too early');
  return text.subarray(0, size);
}

/** Ends of the messages for entry types that are refused. */
const REFUSED_TYPES: Readonly<Record<string, string>> = {
  '3': 'is a device',
  '4': 'is a device',
  '6': 'is a FIFO',
  M: 'is continued from another volume',
};

async function readEntry(
  header: RawHeader,
  block: Buffer,
  { pax, name, link }: Description,
  bytes: ByteReader,
): Promise<{ entry: ArchiveEntry; stored: Stored }> {
  const { values } = pax;
  const path = decodeName(sparseName(pax) ?? values.get('path') ?? name ?? header.name);
  const target = decodeName(values.get('linkpath') ?? link ?? header.link);
  const seconds = parseTime(values.get('mtime')) ?? header.modified;
  const modifiedMs = Math.min(LATEST_MS, Math.max(0, Math.floor(seconds * 1000)));
  const common = { path, mode: header.mode & 0o777, modifiedMs, size: 0 };
  const type = typeOf(header, path);
  const size = values.has('size') ? parseCount(values.get('size') ?? Buffer.alloc(0)) : header.size;
  if (!Number.isSafeInteger(size) || size < 0) throw refused(path, 'has an invalid size');
  const nothing: Stored = { left: 0, padding: 0, map: undefined };
  // These entries have no stored content, whatever size their headers give.
  if (type === 'link' || type === 'hard') return { entry: { ...common, type, target }, stored: nothing };
  if (header.type === '5') return { entry: { ...common, type }, stored: nothing };
  const map = type === 'file' ? await readSparseMap(header, block, pax, bytes) : undefined;
  const left = size - (map?.mapBytes ?? 0);
  if (map && !isConsistent(map, left)) throw refused(path, 'is a sparse file with an inconsistent map');
  const stored = { left, padding: paddingOf(size), map };
  return { entry: { ...common, type, size: type === 'file' ? (map?.size ?? size) : 0 }, stored };
}

function typeOf({ type }: RawHeader, path: string): ArchiveEntry['type'] {
  switch (type) {
    // In old tars, a folder is recognised only by the slash at the end of its name.
    case '0':
    case '\0':
    case '7':
      return path.endsWith('/') ? 'directory' : 'file';
    case 'S':
      return 'file';
    case '5':
    case 'D':
      return 'directory';
    case '1':
      return 'hard';
    case '2':
      return 'link';
    default:
      throw refused(path, REFUSED_TYPES[type] ?? 'is of an unsupported type');
  }
}

async function* contents(bytes: ByteReader, stored: Stored): AsyncGenerator<Buffer, void, undefined> {
  const pieces = take(bytes, stored);
  yield* stored.map ? fillHoles(stored.map, pieces) : pieces;
}

async function* take(bytes: ByteReader, stored: Stored): AsyncGenerator<Buffer, void, undefined> {
  for await (const piece of bytes.stream(stored.left)) {
    stored.left -= piece.length;
    yield piece;
  }
  if (stored.left > 0) throw notTar('it ends too early');
}

async function skip(bytes: ByteReader, length: number): Promise<void> {
  let left = length;
  for await (const piece of bytes.stream(length)) left -= piece.length;
  if (left > 0) throw notTar('it ends too early');
}

function paddingOf(size: number): number {
  return -size & (BLOCK - 1);
}
