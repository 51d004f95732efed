import { createHash, randomBytes } from 'node:crypto';
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BrokenArchive } from './files/archive-files.ts';
import { DirectoryFiles } from './files/directory-files.ts';
import { PartReader } from './segments.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'glovebox-segments-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const ID = `snp_${'0'.repeat(24)}`;
/** What is read of them: parts that begin in the middle, go back, overlap and leave gaps. */
const PARTS = [
  [400_000, 100_000],
  [0, 10],
  [450_000, 300_000],
  [1_100_000, 5],
  [1_000_000, 80_000],
] as const;

describe.each([
  ['read at once', 1_200_000],
  ['read by the thread pool', 3_000_000],
])('a file that is %s', (_, bytes) => {
  const content = randomBytes(bytes);
  const summed = { number: 1, bytes, sha256: createHash('sha256').update(content).digest('hex') };

  async function readParts(change: (path: string) => void): Promise<Buffer[]> {
    const files = new DirectoryFiles(directory);
    const path = join(directory, ID, '1.data');
    mkdirSync(join(directory, ID));
    writeFileSync(path, content);
    change(path);
    await using reader = new PartReader(await files.open({ id: ID }, 'data', summed), summed);
    const found: Buffer[] = [];
    for (const [offset, length] of PARTS) found.push(Buffer.concat(await Array.fromAsync(reader.read(offset, length))));
    await reader.verified();
    return found;
  }

  const flip = (at: number) => (path: string) => {
    const changed = Buffer.from(content);
    changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
    writeFileSync(path, changed);
  };

  test('is right in parts, in whatever order, as a whole', async () => {
    expect(await readParts(() => {})).toEqual(PARTS.map(([at, length]) => content.subarray(at, at + length)));
  });

  test.each([
    ['in a part', flip(460_000)],
    ['between parts', flip(900_000)],
    ['after the last part', flip(bytes - 1)],
    ['by something at its end', (path: string) => appendFileSync(path, 'x')],
    ['by being cut off behind the last part', (path: string) => truncateSync(path, bytes - 1)],
    ['by being cut off within a part', (path: string) => truncateSync(path, 500_000)],
  ])('is broken when it was changed %s', async (_, change) => {
    await expect(readParts(change)).rejects.toThrow(BrokenArchive);
  });
});
