import { inflateRawSync } from 'node:zlib';

/** Reads `length` bytes from `start`; what is not there is left out. */
export type ReadAt = (start: number, length: number) => Promise<Buffer>;

const END_RECORD_BYTES = 22;
const LONGEST_COMMENT = 65_535;
/** A wheel of ten thousand files has a directory of about one MiB. */
const LARGEST_DIRECTORY = 32 * 1024 * 1024;

/**
 * The METADATA of a wheel (`<name>-<version>.dist-info/METADATA`) by random access to it (APPNOTE.TXT 4.3).
 * Undefined for what is no such zip file: damaged, of more than 4 GiB, packed in another way than installers read.
 */
export async function readWheelMetadata(size: number, read: ReadAt, limitBytes: number): Promise<Buffer | undefined> {
  const directory = await readDirectory(size, read);
  const entry = directory && findMetadata(directory);
  if (!entry || entry.packed > limitBytes || entry.unpacked > limitBytes) return undefined;
  const header = await read(entry.at, 30);
  if (header.length < 30 || header.readUInt32LE(0) !== 0x04034b50) return undefined;
  const start = entry.at + 30 + header.readUInt16LE(26) + header.readUInt16LE(28);
  const packed = await read(start, entry.packed);
  if (packed.length < entry.packed) return undefined;
  if (entry.method === 0) return packed;
  if (entry.method !== 8) return undefined;
  try {
    return inflateRawSync(packed, { maxOutputLength: limitBytes });
  } catch {
    return undefined;
  }
}

/** What the files of a zip file take once unpacked, by its own words; undefined for what is none. */
export async function readUnpackedSize(size: number, read: ReadAt): Promise<number | undefined> {
  const directory = await readDirectory(size, read);
  let total = 0;
  for (let at = 0; directory && at + 46 <= directory.length; ) {
    if (directory.readUInt32LE(at) !== 0x02014b50) return undefined;
    total += directory.readUInt32LE(at + 24);
    at += lengthOfRecord(directory, at);
  }
  return directory && total;
}

async function readDirectory(size: number, read: ReadAt): Promise<Buffer | undefined> {
  const tailBytes = Math.min(size, END_RECORD_BYTES + LONGEST_COMMENT);
  const tail = await read(size - tailBytes, tailBytes);
  for (let at = tail.length - END_RECORD_BYTES; at >= 0; at -= 1) {
    if (tail.readUInt32LE(at) !== 0x06054b50) continue;
    const length = tail.readUInt32LE(at + 12);
    const start = tail.readUInt32LE(at + 16);
    if (length > LARGEST_DIRECTORY || start + length > size) return undefined;
    return await read(start, length);
  }
  return undefined;
}

interface Entry {
  readonly at: number;
  readonly method: number;
  readonly packed: number;
  readonly unpacked: number;
}

function findMetadata(directory: Buffer): Entry | undefined {
  for (let at = 0; at + 46 <= directory.length; ) {
    if (directory.readUInt32LE(at) !== 0x02014b50) return undefined;
    const nameLength = directory.readUInt16LE(at + 28);
    const name = directory.toString('utf8', at + 46, at + 46 + nameLength);
    if (/^[^/]+\.dist-info\/METADATA$/.test(name)) {
      return {
        at: directory.readUInt32LE(at + 42),
        method: directory.readUInt16LE(at + 10),
        packed: directory.readUInt32LE(at + 20),
        unpacked: directory.readUInt32LE(at + 24),
      };
    }
    at += lengthOfRecord(directory, at);
  }
  return undefined;
}

function lengthOfRecord(directory: Buffer, at: number): number {
  return 46 + directory.readUInt16LE(at + 28) + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
}
