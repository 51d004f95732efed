import { GloveboxError } from '../errors.ts';
import { Bytes } from './bytes.ts';
import { type ArchivedEntry, type ArchiveEntry, type ArchiveLimits, EntryChecker, refused } from './entry.ts';

const BLOCK = 512;
/** Long names and the like, which a tar puts before the entry that they belong to. */
const LONGEST_EXTENSION = 64 * 1024;
/** Behind the end of a tar: blocks of zeros, up to the size of a tape's record. */
const LONGEST_REST = 1024 * 1024;
const LATEST_MS = Date.UTC(9999, 11, 31);
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

type Extension = Map<string, string>;

/**
 * The entries of a tar (ustar, GNU or pax) that a stranger made; each is checked before it is handed on.
 * Of a hard link, a device, a sparse file or anything else out of the ordinary nothing is taken.
 * @throws GloveboxError `invalid_input` or `payload_too_large`
 */
export async function* readTar(
  source: AsyncIterable<Uint8Array>,
  limits: ArchiveLimits,
): AsyncGenerator<ArchivedEntry, void, undefined> {
  const bytes = new Bytes(source);
  const checker = new EntryChecker(limits);
  try {
    let extension: Extension = new Map();
    for (;;) {
      const header = await takeBlock(bytes);
      if (header.every((byte) => byte === 0)) break;
      checkSum(header);
      const type = String.fromCharCode(header[156] || 48);
      if ('xgLK'.includes(type)) {
        const content = await takeExtension(bytes, readNumber(header, 124, 12));
        if (type === 'g') parsePax(content);
        else extension = new Map([...extension, ...parseExtension(type, content)]);
        continue;
      }
      const raw = readEntry(header, type, extension);
      extension = new Map();
      const entry = checker.check(raw);
      if (entry) yield* entryWithBody(entry, bytes);
    }
    for await (const _ of bytes.stream(LONGEST_REST));
  } finally {
    await bytes.close();
  }
}

async function* entryWithBody(entry: ArchiveEntry, bytes: Bytes): AsyncGenerator<ArchivedEntry, void, undefined> {
  let left = entry.size;
  async function* read(): AsyncGenerator<Buffer, void, undefined> {
    for await (const piece of bytes.stream(left)) {
      left -= piece.length;
      yield piece;
    }
    if (left > 0) throw brokenOff();
  }
  yield { entry, body: read() };
  for await (const _ of read());
  const padding = (BLOCK - (entry.size % BLOCK)) % BLOCK;
  if ((await bytes.take(padding)).length < padding) throw brokenOff();
}

async function takeBlock(bytes: Bytes): Promise<Buffer> {
  const block = await bytes.take(BLOCK);
  if (block.length < BLOCK) throw brokenOff();
  return block;
}

async function takeExtension(bytes: Bytes, size: number): Promise<Buffer> {
  if (size > LONGEST_EXTENSION) throw notTar('it describes an entry at too great length');
  const padded = Math.ceil(size / BLOCK) * BLOCK;
  const content = await bytes.take(padded);
  if (content.length < padded) throw brokenOff();
  return content.subarray(0, size);
}

function readEntry(header: Buffer, type: string, extension: Extension): ArchiveEntry {
  const path = extension.get('path') ?? readName(header);
  const given = extension.get('size');
  const size = given === undefined ? readNumber(header, 124, 12) : Number(given);
  if (!Number.isSafeInteger(size) || size < 0) throw refused(path, 'has no sensible size');
  const mtime = Number(extension.get('mtime') ?? readNumber(header, 136, 12));
  const common = {
    path,
    mode: readNumber(header, 100, 8) & 0o777,
    modifiedMs: Number.isFinite(mtime) ? Math.min(LATEST_MS, Math.max(0, Math.floor(mtime * 1000))) : 0,
  };
  if (type === '0' || type === '7') {
    // Before POSIX, a folder was a file whose name ends in a slash.
    if (path.endsWith('/') && size === 0) return { ...common, type: 'directory', size: 0 };
    return { ...common, type: 'file', size };
  }
  if (size !== 0) throw refused(path, 'has bytes that it may not have');
  if (type === '5') return { ...common, type: 'directory', size: 0 };
  if (type === '2')
    return { ...common, type: 'link', size: 0, target: extension.get('linkpath') ?? readText(header, 157, 100) };
  throw refused(path, WHAT[type] ?? 'is of a kind that is not taken');
}

const WHAT: Readonly<Record<string, string>> = {
  1: 'is a hard link',
  3: 'is a device',
  4: 'is a device',
  6: 'is a FIFO',
  S: 'is a sparse file',
};

function readName(header: Buffer): string {
  const name = readText(header, 0, 100);
  const isPosix = header.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = isPosix ? readText(header, 345, 155) : '';
  return prefix ? `${prefix}/${name}` : name;
}

function readText(header: Buffer, at: number, length: number): string {
  const field = header.subarray(at, at + length);
  const end = field.indexOf(0);
  return decode(end < 0 ? field : field.subarray(0, end));
}

/** Octal digits, or with the first bit set a big-endian number. */
function readNumber(header: Buffer, at: number, length: number): number {
  const field = header.subarray(at, at + length);
  if ((field[0] ?? 0) & 0x80) {
    const value = field.subarray(1).reduce((sum, byte) => sum * 256 + byte, (field[0] ?? 0) & 0x7f);
    if (Number.isSafeInteger(value)) return value;
    throw notTar('it has a number out of range');
  }
  const text = field
    .toString('latin1')
    .replace(/[\0 ]+$/, '')
    .trimStart();
  if (/^[0-7]*$/.test(text)) return text === '' ? 0 : Number.parseInt(text, 8);
  throw notTar('it has a number that is none');
}

function checkSum(header: Buffer): void {
  let sum = 8 * 32;
  for (let at = 0; at < BLOCK; at += 1) if (at < 148 || at >= 156) sum += header[at] ?? 0;
  if (sum !== readNumber(header, 148, 8)) throw notTar('a checksum is wrong');
}

function parseExtension(type: string, content: Buffer): Extension {
  if (type === 'x') return parsePax(content);
  const end = content.indexOf(0);
  return new Map([[type === 'L' ? 'path' : 'linkpath', decode(end < 0 ? content : content.subarray(0, end))]]);
}

/** Records of the form `length key=value\n`; the length counts all of it. */
function parsePax(content: Buffer): Extension {
  const found: Extension = new Map();
  let at = 0;
  while (at < content.length) {
    const space = content.indexOf(32, at);
    const length = Number(content.toString('latin1', at, Math.max(at, space)));
    const record = content.subarray(space + 1, at + length - 1);
    const equals = record.indexOf(61);
    const whole =
      space > at && length > space - at + 1 && at + length <= content.length && content[at + length - 1] === 10;
    if (!whole || equals < 1) throw notTar('a pax header is malformed');
    const key = decode(record.subarray(0, equals));
    if (key.startsWith('GNU.sparse')) throw notTar('it holds a sparse file');
    if (['path', 'linkpath', 'size', 'mtime'].includes(key)) found.set(key, decode(record.subarray(equals + 1)));
    at += length;
  }
  return found;
}

function decode(bytes: Buffer): string {
  try {
    return UTF8.decode(bytes);
  } catch (cause) {
    throw notTar('a name in it is not UTF-8', cause);
  }
}

function brokenOff(): GloveboxError {
  return notTar('it ends too early');
}

function notTar(why: string, cause?: unknown): GloveboxError {
  return new GloveboxError('invalid_input', `This is not a tar that can be taken: ${why}.`, {
    hint: 'Send an uncompressed tar of regular files, folders and links, such as `tar -c` makes.',
    ...(cause === undefined ? {} : { cause }),
  });
}
