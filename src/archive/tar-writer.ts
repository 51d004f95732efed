import type { ArchivedEntry, ArchiveEntry } from './entry.ts';

const BLOCK = 512;
/** From here on a size has no room in a header's octal digits. */
const LARGE = 8 ** 11;
const TYPES = { file: '0', directory: '5', link: '2' } as const;

/** A tar (pax) of the entries, which have been checked. Owner and group are nobody's. */
export async function* writeTar(entries: AsyncIterable<ArchivedEntry>): AsyncGenerator<Buffer, void, undefined> {
  for await (const { entry, body } of entries) {
    yield encodeEntry(entry);
    for await (const piece of body) yield piece;
    const padding = (BLOCK - (entry.size % BLOCK)) % BLOCK;
    if (padding > 0) yield Buffer.alloc(padding);
  }
  yield Buffer.alloc(2 * BLOCK);
}

function encodeEntry(entry: ArchiveEntry): Buffer {
  const path = entry.type === 'directory' ? `${entry.path}/` : entry.path;
  const extended = [
    ...(fits(path) ? [] : [paxRecord('path', path)]),
    ...(fits(entry.target ?? '') ? [] : [paxRecord('linkpath', entry.target ?? '')]),
    ...(entry.size < LARGE ? [] : [paxRecord('size', String(entry.size))]),
  ];
  const header = encodeHeader(path, TYPES[entry.type], entry);
  if (extended.length === 0) return header;
  const content = Buffer.concat(extended);
  const padding = Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK);
  const before = { ...entry, size: content.length, mode: 0o644, target: '' };
  return Buffer.concat([encodeHeader('PaxHeader', 'x', before), content, padding, header]);
}

function encodeHeader(
  path: string,
  type: string,
  { size, mode, modifiedMs, target }: Omit<ArchiveEntry, 'path'>,
): Buffer {
  const header = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, digits: number) =>
    header.write(value.toString(8).padStart(digits, '0'), at, digits, 'latin1');
  Buffer.from(path).copy(header, 0, 0, 100);
  octal(mode, 100, 7);
  octal(0, 108, 7);
  octal(0, 116, 7);
  octal(size < LARGE ? size : 0, 124, 11);
  octal(Math.min(Math.floor(modifiedMs / 1000), LARGE - 1), 136, 11);
  header.write(type, 156, 1, 'latin1');
  Buffer.from(target ?? '').copy(header, 157, 0, 100);
  header.write('ustar\x0000', 257, 8, 'latin1');
  header.fill(32, 148, 156);
  octal(
    header.reduce((sum, byte) => sum + byte, 0),
    148,
    6,
  );
  header[154] = 0;
  return header;
}

/** Whether a header's field holds it, and every reader reads it as it was written. */
function fits(text: string): boolean {
  return Buffer.byteLength(text) <= 100 && /^[\x20-\x7e]*$/.test(text);
}

function paxRecord(key: string, value: string): Buffer {
  const rest = Buffer.from(` ${key}=${value}\n`);
  let length = rest.length;
  while (length !== rest.length + String(length).length) length = rest.length + String(length).length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}
