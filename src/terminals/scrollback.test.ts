import { expect, test } from 'vitest';
import { Scrollback } from './scrollback.ts';

/** Bytes that tell their offset. */
function bytesFrom(offset: number, length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, at) => (offset + at) % 251));
}

test.each([1, 7, 100, 16_384, 16_385, 40_000, 70_001])('keeps the last bytes of pieces of %i', (size) => {
  const most = size < 1000 ? 5000 : 65_536;
  const scrollback = new Scrollback(most);
  let end = 0;
  for (let piece = 0; piece < 20 || end < most * 2; piece += 1) {
    if (size === 1 && piece > 2 * most) break;
    scrollback.append(bytesFrom(end, size));
    end += size;
    expect(scrollback.end).toBe(end);
    expect(scrollback.start).toBe(Math.max(0, end - most));
  }
  const { start } = scrollback;
  expect(scrollback.read(start, most).equals(bytesFrom(start, end - start))).toBe(true);
  expect(scrollback.read(start + 5, 9).equals(bytesFrom(start + 5, Math.min(9, end - start - 5)))).toBe(true);
  expect(scrollback.read(end, 10)).toHaveLength(0);
});

test('keeps less after a trim, and goes on', () => {
  const scrollback = new Scrollback(1000);
  scrollback.append(bytesFrom(0, 2500));
  scrollback.trim(300);
  expect([scrollback.start, scrollback.end]).toEqual([2200, 2500]);
  expect(scrollback.read(2200, 1000).equals(bytesFrom(2200, 300))).toBe(true);
  scrollback.append(bytesFrom(2500, 700));
  expect([scrollback.start, scrollback.end]).toEqual([2200, 3200]);
  expect(scrollback.read(2200, 1000).equals(bytesFrom(2200, 1000))).toBe(true);
});
