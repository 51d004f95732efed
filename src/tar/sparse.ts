import type { ByteReader } from './byte-reader.ts';
import { BLOCK, notTar, parseNumber, type RawHeader } from './header.ts';
import { type Fragment, type PaxRecords, parseCount } from './pax.ts';

/** Map of a sparse file. The tar stores only its fragments, one after the other. */
export interface SparseMap {
  /** Size of the whole file in bytes, with its holes. */
  readonly size: number;
  readonly fragments: readonly Fragment[];
  /** Size in bytes of the map itself, if it is stored in front of the fragments. */
  readonly mapBytes: number;
}

const ZEROS = Buffer.alloc(64 * 1024);
/** Fragments of one file. */
const MOST_FRAGMENTS = 100_000;
/** Digits of a number in a map. */
const LONGEST_NUMBER = 20;

/**
 * Reads the map of a sparse entry, in any of the four forms that GNU tar and libarchive write. Undefined when the entry
 * is not sparse. The part of the map that follows the header is read from `bytes`.
 * @throws GloveboxError `invalid_input` for a malformed map
 */
export async function readSparseMap(
  header: RawHeader,
  block: Buffer,
  { values, fragments }: PaxRecords,
  bytes: ByteReader,
): Promise<SparseMap | undefined> {
  const count = (key: string) => parseCount(values.get(key) ?? Buffer.alloc(0));
  if (header.type === 'S') return await readOldMap(block, bytes);
  if (values.has('GNU.sparse.major')) {
    if (count('GNU.sparse.major') !== 1) throw notTar('it has sparse files in an unknown format');
    return { size: count('GNU.sparse.realsize'), ...(await readInlineMap(bytes)) };
  }
  const size = values.has('GNU.sparse.size') ? count('GNU.sparse.size') : undefined;
  if (size === undefined) return undefined;
  const listed = values.get('GNU.sparse.map')?.toString('latin1').split(',').filter(Boolean) ?? [];
  if (listed.length === 0) return { size, fragments, mapBytes: 0 };
  return { size, fragments: inPairs(listed.map((number) => parseCount(Buffer.from(number)))), mapBytes: 0 };
}

/** Yields a whole file, with zeros in its holes. @throws GloveboxError `invalid_input` when the data ends too early */
export async function* fillHoles(
  { size, fragments }: SparseMap,
  stored: AsyncIterator<Buffer>,
): AsyncGenerator<Buffer, void, undefined> {
  let at = 0;
  let held: Buffer = Buffer.alloc(0);
  for (const { offset, length } of fragments) {
    yield* zeros(offset - at);
    for (let left = length; left > 0; ) {
      if (held.length === 0) {
        const { done, value } = await stored.next();
        if (done) throw notTar('it ends too early');
        held = value;
      }
      const piece = held.subarray(0, left);
      held = held.subarray(piece.length);
      left -= piece.length;
      yield piece;
    }
    at = offset + length;
  }
  yield* zeros(size - at);
}

/** Whether the fragments are in order, lie inside the file, and have `stored` bytes together. */
export function isConsistent({ size, fragments }: SparseMap, stored: number): boolean {
  let [at, sum] = [0, 0];
  for (const { offset, length } of fragments) {
    if (offset < at) return false;
    at = offset + length;
    sum += length;
  }
  return at <= size && sum === stored && Number.isSafeInteger(size);
}

function* zeros(length: number): Generator<Buffer, void, undefined> {
  for (let left = length; left > 0; left -= ZEROS.length) yield ZEROS.subarray(0, left);
}

/** Reads a map in GNU tar's old format: four fragments in the header, more in the blocks after it. */
async function readOldMap(block: Buffer, bytes: ByteReader): Promise<SparseMap> {
  const fragments: Fragment[] = [];
  const add = (from: Buffer, places: number) => {
    for (let at = 0; at < places; at += 1) {
      const field = from.subarray(at * 24, at * 24 + 24);
      const length = parseNumber(field.subarray(12, 24));
      if (field[0] !== 0) fragments.push({ offset: parseNumber(field.subarray(0, 12)), length });
    }
  };
  add(block.subarray(386), 4);
  for (let isExtended = block[482] === 1; isExtended; ) {
    const more = await bytes.take(BLOCK);
    if (more.length < BLOCK || fragments.length > MOST_FRAGMENTS) throw notTar('it is malformed');
    add(more, 21);
    isExtended = more[504] === 1;
  }
  return { size: parseNumber(block.subarray(483, 495)), fragments, mapBytes: 0 };
}

/** Reads a map in the pax format since GNU tar 1.16: lines with numbers before the fragments, padded to a block. */
async function readInlineMap(bytes: ByteReader): Promise<Pick<SparseMap, 'fragments' | 'mapBytes'>> {
  let mapBytes = 0;
  const next = async () => {
    const line = await bytes.line(LONGEST_NUMBER);
    if (!line) throw notTar('it is malformed');
    mapBytes += line.length + 1;
    return parseCount(line);
  };
  const count = await next();
  if (count > MOST_FRAGMENTS) throw notTar('it has a sparse file with too many fragments');
  const numbers: number[] = [];
  while (numbers.length < count * 2) numbers.push(await next());
  const padding = -mapBytes & (BLOCK - 1);
  await bytes.take(padding);
  return { fragments: inPairs(numbers), mapBytes: mapBytes + padding };
}

function inPairs(numbers: readonly number[]): Fragment[] {
  if (numbers.length % 2 > 0 || numbers.length > MOST_FRAGMENTS * 2) throw notTar('it is malformed');
  const pairs: Fragment[] = [];
  for (let at = 0; at < numbers.length; at += 2) pairs.push({ offset: numbers[at] ?? 0, length: numbers[at + 1] ?? 0 });
  return pairs;
}

/** The name of a sparse file. Its header has another name, for programs that do not support sparse files. */
export function sparseName({ values }: PaxRecords): Buffer | undefined {
  return values.get('GNU.sparse.name');
}
