import { expect, test } from 'vitest';
import { diskSizesFor, largestDiskMb } from './disk-sizes.ts';

test.each([
  { memoryMb: 64, diskMb: 8 },
  { memoryMb: 128, diskMb: 64 },
  { memoryMb: 256, diskMb: 192 },
  { memoryMb: 512, diskMb: 400 },
  { memoryMb: 1024, diskMb: 512 },
  { memoryMb: 8192, diskMb: 6000 },
  ...[64, 100, 333, 1024, 4096].map((memoryMb) => ({ memoryMb, diskMb: largestDiskMb(memoryMb) })),
])('$diskMb MiB of disk in $memoryMb MiB of memory leave an eighth to processes', ({ memoryMb, diskMb }) => {
  const { workspaceMb, tmpMb, shmMb } = diskSizesFor(memoryMb, diskMb);
  expect(workspaceMb).toBe(diskMb);
  expect(tmpMb).toBeGreaterThanOrEqual(1);
  expect(shmMb).toBeGreaterThanOrEqual(1);
  expect(tmpMb).toBeLessThanOrEqual(128);
  expect(shmMb).toBeLessThanOrEqual(64);
  expect(workspaceMb + tmpMb + shmMb).toBeLessThanOrEqual((memoryMb * 7) / 8);
});

test('/tmp is a quarter of the workspace', () => {
  expect(diskSizesFor(1024, 200).tmpMb).toBe(50);
});

test('a file may be as long as the workspace is large, and 256 MiB at least', () => {
  expect(diskSizesFor(1024, 100).largestFileMb).toBe(256);
  expect(diskSizesFor(1024, 700).largestFileMb).toBe(700);
});

test('a workspace without room is refused with the largest that has', () => {
  expect(() => diskSizesFor(512, largestDiskMb(512) + 1)).toThrow(
    expect.objectContaining({
      code: 'invalid_input',
      message: expect.stringContaining('512 MiB'),
      hint: expect.stringContaining(String(largestDiskMb(512))),
    }),
  );
});
