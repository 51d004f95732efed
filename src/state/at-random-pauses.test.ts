import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { atRandomPauses } from './at-random-pauses.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

test('does work after a pause of any length between two, counted from the end of the last', async () => {
  vi.spyOn(Math, 'random').mockReturnValueOnce(0).mockReturnValueOnce(0.5);
  let ends = Promise.withResolvers<void>();
  const work = vi.fn(() => ends.promise);
  using _work = atRandomPauses({ least: 100, most: 200 }, work);
  await vi.advanceTimersByTimeAsync(99);
  expect(work).toHaveBeenCalledTimes(0);
  await vi.advanceTimersByTimeAsync(1);
  expect(work).toHaveBeenCalledTimes(1);
  await vi.advanceTimersByTimeAsync(1000);
  expect(work).toHaveBeenCalledTimes(1);
  const first = ends;
  ends = Promise.withResolvers();
  first.resolve();
  await vi.advanceTimersByTimeAsync(149);
  expect(work).toHaveBeenCalledTimes(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(work).toHaveBeenCalledTimes(2);
});

test('does nothing more once it is disposed of, also in the midst of work', async () => {
  const ends = Promise.withResolvers<void>();
  const work = vi.fn(() => ends.promise);
  const [waiting, working] = [
    atRandomPauses({ least: 10, most: 10 }, work),
    atRandomPauses({ least: 5, most: 5 }, work),
  ];
  await vi.advanceTimersByTimeAsync(5);
  waiting[Symbol.dispose]();
  working[Symbol.dispose]();
  ends.resolve();
  await vi.advanceTimersByTimeAsync(1000);
  expect(work).toHaveBeenCalledTimes(1);
});
