import { crc32, deflateRawSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { makeWheel } from '../../../test/support/distributions.ts';
import { type ReadAt, readUnpackedSize, readWheelMetadata } from './zip-entry.ts';

const LIMIT = 1_000_000;

function readerOf(content: Buffer): ReadAt & { calls: number } {
  const read = async (start: number, length: number) => {
    read.calls += 1;
    return content.subarray(start, start + length);
  };
  read.calls = 0;
  return read;
}

const metadataOf = (content: Buffer) => readWheelMetadata(content.length, readerOf(content), LIMIT);
const sizeOf = (content: Buffer) => readUnpackedSize(content.length, readerOf(content));

/** A zip file of one deflated entry (APPNOTE.TXT 4.3), of which it may tell lies; with the ends of zip64 if asked for. */
function makeZip({ text = 'Name: demo\n', size = -1, flags = 0, method = 8, zip64 = false } = {}): Buffer {
  const [name, packed] = [Buffer.from('demo-1.0.dist-info/METADATA'), deflateRawSync(text)];
  const common = Buffer.alloc(26);
  common.writeUInt16LE(flags, 2);
  common.writeUInt16LE(method, 4);
  common.writeUInt32LE(crc32(text), 10);
  common.writeUInt32LE(packed.length, 14);
  common.writeUInt32LE(size < 0 ? text.length : size, 18);
  common.writeUInt16LE(name.length, 22);
  const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, name, packed]);
  const directory = Buffer.concat([Buffer.from('PK\x01\x02\x14\x03', 'latin1'), common, Buffer.alloc(14), name]);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(1, 6);
  end.writeUInt32LE(zip64 ? 0xffffffff : directory.length, 8);
  end.writeUInt32LE(zip64 ? 0xffffffff : local.length, 12);
  const [end64, locator] = [Buffer.alloc(52), Buffer.alloc(16)];
  for (const [at, value] of [
    [0, 44],
    [28, 1],
    [36, directory.length],
    [44, local.length],
  ] as const) {
    end64.writeBigUInt64LE(BigInt(value), at);
  }
  locator.writeBigUInt64LE(BigInt(local.length + directory.length), 4);
  const ends64 = zip64 ? [Buffer.from('PK\x06\x06'), end64, Buffer.from('PK\x06\x07'), locator] : [];
  return Buffer.concat([local, directory, ...ends64, Buffer.from('PK\x05\x06'), end]);
}

function overwrite(content: Buffer, byte: number, from: number, to: number): Buffer {
  content.subarray(from, to).fill(byte);
  return content;
}

test('metadata and unpacked sizes of a zip file, with the ends of zip64 or without', async () => {
  for (const content of [makeZip(), makeZip({ zip64: true })]) {
    expect((await metadataOf(content))?.toString()).toBe('Name: demo\n');
    expect(await sizeOf(content)).toBe(11);
  }
});

test('a wheel of ten thousand files is read in few pieces', async () => {
  const files = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`demo/file_${index}.py`, '']));
  const { content, metadata } = makeWheel('demo', '1.0', { files });
  const read = readerOf(content);
  expect((await readWheelMetadata(content.length, read, LIMIT))?.equals(metadata)).toBe(true);
  expect(read.calls).toBeLessThan(10);
});

test.each([
  ['nothing', Buffer.alloc(0)],
  ['no zip file', Buffer.alloc(100_000, 'PK')],
  ['a zip file without its end', makeZip().subarray(0, -1)],
  ['an end alone', makeZip().subarray(-22)],
  ['a directory beyond the file', overwrite(makeZip(), 0xf0, -6, -3)],
  ['an end of zip64 beyond the file', overwrite(makeZip({ zip64: true }), 0x0f, -34, -27)],
])('%s has neither metadata nor an unpacked size', async (_, content) => {
  expect(await metadataOf(content)).toBeUndefined();
  expect(await sizeOf(content)).toBeUndefined();
});

test.each([
  ['encrypted', makeZip({ flags: 1 })],
  ['of another method', makeZip({ method: 12 })],
  ['larger than it says', makeZip({ text: 'x'.repeat(500_000), size: 100 })],
  ['smaller than it says', makeZip({ size: 100 })],
  ['larger than the limit', makeZip({ text: 'x'.repeat(LIMIT + 1) })],
  ['not deflated', overwrite(makeZip(), 0xff, 57, 60)],
])('metadata that is %s is none', async (_, content) => {
  expect(await metadataOf(content)).toBeUndefined();
});

test('an unpacked size is unknown where fewer entries are there than the end says', async () => {
  expect(await sizeOf(overwrite(makeZip(), 0x7f, -12, -10))).toBeUndefined();
});

test.each([2 ** 40, 99_000])('a directory of %i entries over gigabytes is not read to its end', async (entries) => {
  const size = 8 * 2 ** 30;
  const end = makeZip({ zip64: true }).subarray(-98);
  end.writeBigUInt64LE(BigInt(entries), 32);
  end.writeBigUInt64LE(0n, 48);
  end.writeBigUInt64LE(BigInt(size - 98), 64);
  // Each entry says that a comment of 65,535 bytes follows it.
  const entry = Buffer.alloc(46 + 65_535);
  entry.write('PK\x01\x02');
  entry.writeUInt16LE(65_535, 32);
  let bytes = 0;
  const read: ReadAt = async (start, length) => {
    bytes += length;
    if (start + length === size) return Buffer.concat([Buffer.alloc(length - end.length), end]);
    return Buffer.concat([entry.subarray(start % entry.length), Buffer.alloc(length, entry)], length);
  };
  expect(await readUnpackedSize(size, read)).toBeUndefined();
  expect(bytes).toBeGreaterThan(0);
  expect(bytes).toBeLessThanOrEqual(32 * 2 ** 20);
});

test('what the reader throws is thrown on', async () => {
  const failure = new Error('the index is down');
  await expect(readWheelMetadata(100, () => Promise.reject(failure), LIMIT)).rejects.toBe(failure);
});
