import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ConcurrencyLimit } from './concurrency-limit.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Calls that end when they are told to, by number. */
function startCalls(limit: ConcurrencyLimit, count: number) {
  const begun: number[] = [];
  const ends = Array.from({ length: count }, () => Promise.withResolvers<void>());
  const calls = ends.map(({ promise }, at) =>
    limit.run(async () => {
      begun.push(at);
      await promise;
      return at;
    }),
  );
  return { begun, ends, calls };
}

test('no more calls than allowed are under way, and each end lets the next begin, in their order', async () => {
  const { begun, ends, calls } = startCalls(new ConcurrencyLimit(2, 1000), 5);
  await vi.advanceTimersByTimeAsync(0);
  expect(begun).toEqual([0, 1]);
  ends[1]?.resolve();
  await vi.advanceTimersByTimeAsync(0);
  expect(begun).toEqual([0, 1, 2]);
  ends[2]?.reject(new Error('no'));
  await expect(calls[2]).rejects.toThrow('no');
  for (const { resolve } of ends) resolve();
  expect(await Promise.allSettled(calls)).toHaveLength(5);
  expect(begun).toEqual([0, 1, 2, 3, 4]);
});

test('a call that hangs keeps no other waiting for longer than it may, and counts once', async () => {
  const { begun, ends } = startCalls(new ConcurrencyLimit(1, 1000), 4);
  await vi.advanceTimersByTimeAsync(999);
  expect(begun).toEqual([0]);
  await vi.advanceTimersByTimeAsync(1);
  expect(begun).toEqual([0, 1]);
  // Its place is another's already.
  ends[0]?.resolve();
  await vi.advanceTimersByTimeAsync(0);
  expect(begun).toEqual([0, 1]);
  ends[1]?.resolve();
  await vi.advanceTimersByTimeAsync(0);
  expect(begun).toEqual([0, 1, 2]);
});
