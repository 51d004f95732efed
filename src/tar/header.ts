import { GloveboxError } from '../errors.ts';

/** Bytes of a block of a tar. */
export const BLOCK = 512;

/** Fields of a tar header, as stored. */
export interface RawHeader {
  readonly name: Buffer;
  readonly link: Buffer;
  /** Type of the entry, one character. */
  readonly type: string;
  readonly mode: number;
  /** Size of the content that follows, in bytes. */
  readonly size: number;
  /** Time of the last change, in seconds since 1970. */
  readonly modified: number;
}

/** Reads a header block. @throws GloveboxError `invalid_input` for a block that is not a header */
export function parseHeader(block: Buffer): RawHeader {
  const checksum = parseNumber(block.subarray(148, 156));
  if (checksum !== sumOf(block, false) && checksum !== sumOf(block, true)) throw notTar('it is malformed');
  const name = textOf(block.subarray(0, 100));
  return {
    name: withPrefix(block, name),
    link: textOf(block.subarray(157, 257)),
    type: String.fromCharCode(block[156] ?? 0),
    mode: parseNumber(block.subarray(100, 108)),
    size: parseNumber(block.subarray(124, 136)),
    modified: parseNumber(block.subarray(136, 148)),
  };
}

/** Puts the prefix field in front of a name. Only POSIX headers have it; in those of star it is shorter. */
function withPrefix(block: Buffer, name: Buffer): Buffer {
  if (block.toString('latin1', 257, 263) !== 'ustar\0') return name;
  const isStar = block.toString('latin1', 508, 512) === 'tar\0';
  const prefix = textOf(block.subarray(345, isStar ? 476 : 500));
  return prefix.length > 0 ? Buffer.concat([prefix, Buffer.from('/'), name]) : name;
}

/** The bytes before the first NUL. */
export function textOf(field: Buffer): Buffer {
  const end = field.indexOf(0);
  return end < 0 ? field : field.subarray(0, end);
}

/** Reads a number in octal, or in base 256 with the highest bit set, as GNU tar and star write large numbers. */
export function parseNumber(field: Buffer): number {
  const first = field[0] ?? 0;
  if (first === 0xff) return Number(BigInt.asIntN(64, BigInt(`0x${field.subarray(-8).toString('hex')}`)));
  if (first >= 0x80) return Number(BigInt(`0x${field.toString('hex')}`) - (1n << BigInt(8 * field.length - 1)));
  const text = textOf(field).toString('latin1').trim();
  if (!/^[0-7]*$/.test(text)) throw notTar('it is malformed');
  return text === '' ? 0 : Number.parseInt(text, 8);
}

/** Sums all bytes, with the checksum field taken as blanks. Old programs added signed bytes. */
function sumOf(block: Buffer, signed: boolean): number {
  let sum = 8 * 32;
  for (let at = 0; at < BLOCK; at += 1) {
    if (at >= 148 && at < 156) continue;
    sum += signed ? block.readInt8(at) : (block[at] ?? 0);
  }
  return sum;
}

/** @param why the end of the message, after a colon */
export function notTar(why: string, cause?: unknown): GloveboxError {
  return new GloveboxError('invalid_input', `This is not a tar that can be read: ${why}.`, {
    hint: 'Send a tar of regular files, folders and links, such as `tar -c` makes, uncompressed or in gzip.',
    ...(cause === undefined ? {} : { cause }),
  });
}
