import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { StartPace } from './start-pace.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const TOOK_MS = 200;

/** Starts that take `TOOK_MS` each, on two processors. Nothing else runs until the load is changed. */
function open() {
  const load = { begun: 0, running: 0 };
  const pace = new StartPace({ load: () => load, processors: 2 });
  const began: number[] = [];
  const zero = performance.now();
  const run = async () => {
    began.push(performance.now() - zero);
    await new Promise((resolve) => setTimeout(resolve, TOOK_MS));
  };
  const call = () => {
    load.begun += 10;
    load.running = 1;
  };
  return { load, pace, began, run, call };
}

test('while sessions call, starts come one by one, with pauses as long as they take', async () => {
  const { pace, began, run, call } = open();
  await Promise.all([pace.start(run), vi.advanceTimersByTimeAsync(TOOK_MS)]);
  call();
  const starts = [1, 2, 3].map(() => pace.start(run));
  await vi.advanceTimersByTimeAsync(350);
  call();
  await vi.advanceTimersByTimeAsync(2000);
  await Promise.all(starts);
  expect(began).toEqual([0, 400, 800, 1200]);
});

test('no start of a burst waits for longer than a second', async () => {
  const { pace, began, run, call } = open();
  await Promise.all([pace.start(run), vi.advanceTimersByTimeAsync(TOOK_MS)]);
  call();
  const starts = Array.from({ length: 30 }, () => pace.start(run));
  await vi.advanceTimersByTimeAsync(2000);
  await Promise.all(starts);
  expect(Math.max(...began)).toBe(TOOK_MS + 1000);
});

test('starts do not wait while nobody calls, or processors are free', async () => {
  const { load, pace, began, run } = open();
  const idle = [1, 2, 3].map(() => pace.start(run));
  // New sessions call once each.
  Object.assign(load, { begun: 3, running: 3 });
  idle.push(pace.start(run));
  await vi.advanceTimersByTimeAsync(TOOK_MS);
  await Promise.all(idle);
  Object.assign(load, { begun: 50, running: 0 });
  await Promise.all([pace.start(run), vi.advanceTimersByTimeAsync(TOOK_MS)]);
  expect(began).toEqual([0, 0, 0, 0, TOOK_MS]);
});

test('a start for the pool takes no turn from one that a caller waits for', async () => {
  const { pace, began, run, call } = open();
  await Promise.all([pace.start(run), vi.advanceTimersByTimeAsync(TOOK_MS)]);
  call();
  const rested = vi.fn();
  void pace.rest().then(rested);
  const started = pace.start(run);
  await vi.advanceTimersByTimeAsync(TOOK_MS - 1);
  expect(rested).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1 + TOOK_MS);
  expect(rested).toHaveBeenCalled();
  await started;
  expect(began).toEqual([0, 2 * TOOK_MS]);
});

test('a server that stops does not wait for pauses between starts', async () => {
  const { pace, run, call } = open();
  await Promise.all([pace.start(run), vi.advanceTimersByTimeAsync(TOOK_MS)]);
  call();
  const rest = pace.rest();
  pace.close();
  await rest;
});
