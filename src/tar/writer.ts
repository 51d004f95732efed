import type { ArchivedEntry, ArchiveEntry } from './entry.ts';
import { BLOCK, type RawHeader } from './header.ts';
import { encodeName } from './names.ts';

const TYPES = { file: '0', directory: '5', link: '2', hard: '1' } as const;
/** Largest number of eleven octal digits. */
const LARGEST_NUMBER = 8 ** 11 - 1;
/** Bytes of the name and link fields. */
const LONGEST_FIELD = 100;
/** Position and length of the checksum field, in bytes. */
const CHECKSUM = { start: 148, length: 8 };
/** Two zero blocks, which end a tar. */
const END = Buffer.alloc(2 * BLOCK);
const NUL = Buffer.alloc(1);

/**
 * Yields a tar (ustar, with pax headers where they are needed) of entries that have been checked. Names are written as
 * their bytes, even if these are not UTF-8. Owner and group are 0.
 * @throws Error when a file does not have the number of bytes that its entry gives
 */
export async function* writeTar(entries: AsyncIterable<ArchivedEntry>): AsyncGenerator<Buffer, void, undefined> {
  for await (const { entry, body } of entries) {
    yield headersOf(entry);
    if (entry.type !== 'file') continue;
    let left = entry.size;
    for await (const piece of body) {
      left -= piece.length;
      yield piece;
    }
    if (left !== 0) throw new Error('A file does not have the announced number of bytes.');
    if (entry.size % BLOCK > 0) yield paddingOf(entry.size);
  }
  yield END;
}

function headersOf({ path, type, size, mode, modifiedMs, target }: ArchiveEntry): Buffer {
  const name = encodeName(type === 'directory' ? `${path}/` : path);
  const link = encodeName(target ?? '');
  const modified = Math.floor(modifiedMs / 1000);
  const records = [
    ...(needsRecord(name) ? [record('path', name)] : []),
    ...(needsRecord(link) ? [record('linkpath', link)] : []),
    ...(size > LARGEST_NUMBER ? [record('size', Buffer.from(String(size)))] : []),
    ...(modified > LARGEST_NUMBER ? [record('mtime', Buffer.from(String(modified)))] : []),
  ];
  return Buffer.concat([
    ...(records.length > 0 ? described('x', Buffer.concat(records)) : []),
    ...(isNotUtf8(link) && link.length > LONGEST_FIELD ? described('K', Buffer.concat([link, NUL])) : []),
    ...(isNotUtf8(name) && name.length > LONGEST_FIELD ? described('L', Buffer.concat([name, NUL])) : []),
    headerOf({ name, link, type: TYPES[type], mode, size: type === 'file' ? size : 0, modified }),
  ]);
}

/** Makes the blocks in front of an entry that describe it. */
function described(type: 'x' | 'K' | 'L', data: Buffer): Buffer[] {
  const name = Buffer.from(type === 'x' ? 'PaxHeader' : '././@LongLink');
  const header = headerOf({ name, link: Buffer.alloc(0), type, mode: 0o644, size: data.length, modified: 0 });
  return [header, data, paddingOf(data.length)];
}

/** Whether a name needs a pax record: it is too long for its field, or not ASCII, which programs read differently. */
function needsRecord(name: Buffer): boolean {
  return !isNotUtf8(name) && (name.length > LONGEST_FIELD || name.some((byte) => byte >= 0x80));
}

/**
 * Whether a name is not UTF-8. Pax records must be UTF-8, so such a name is written in GNU tar's format, which most
 * programs can read. The pax key `hdrcharset` is no alternative, because GNU tar ignores it.
 */
function isNotUtf8(name: Buffer): boolean {
  return !Buffer.from(name.toString('utf8')).equals(name);
}

/** Makes a record of the form `LENGTH KEY=VALUE\n`, where LENGTH includes its own digits. */
function record(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')]);
  let length = rest.length + String(rest.length).length;
  if (String(length).length > String(rest.length).length) length += 1;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function headerOf({ name, link, type, mode, size, modified }: RawHeader): Buffer {
  const header = Buffer.alloc(BLOCK);
  name.copy(header, 0, 0, LONGEST_FIELD);
  header.write(octal(mode, 7), 100);
  header.write(octal(0, 7), 108);
  header.write(octal(0, 7), 116);
  header.write(octal(size > LARGEST_NUMBER ? 0 : size, 11), 124);
  header.write(octal(Math.min(modified, LARGEST_NUMBER), 11), 136);
  header.write(' '.repeat(CHECKSUM.length), CHECKSUM.start);
  header.write(type, 156);
  link.copy(header, 157, 0, LONGEST_FIELD);
  header.write('ustar\x0000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${octal(sum, 6)}\0 `, CHECKSUM.start);
  return header;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0');
}

function paddingOf(size: number): Buffer {
  return Buffer.alloc(-size & (BLOCK - 1));
}
