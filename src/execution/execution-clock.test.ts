import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ExecutionClock } from './execution-clock.ts';
import { Stopwatch } from './stopwatch.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const never = () => new AbortController().signal;

/** A time limit of a second on a clock, and whether it has passed. */
function limitOn(clock: ExecutionClock, signal = never()) {
  const seen: string[] = [];
  const deadline = clock.startDeadline(clock.now() + 1000, signal);
  void deadline.reason.then((reason) => seen.push(reason));
  const elapse = async (ms: number) => {
    await vi.advanceTimersByTimeAsync(ms);
    return seen;
  };
  return { deadline, elapse };
}

describe('the clock of an execution', () => {
  test('lets a time limit pass to the millisecond', async () => {
    const { elapse } = limitOn(new ExecutionClock());
    expect(await elapse(999)).toEqual([]);
    expect(await elapse(1)).toEqual(['timeout']);
  });

  test('lets no time limit pass while it is paused, and the rest of it afterwards', async () => {
    const clock = new ExecutionClock();
    const { elapse } = limitOn(clock);
    await elapse(600);
    const pause = clock.pause();
    expect(await elapse(500_000)).toEqual([]);
    pause[Symbol.dispose]();
    expect(await elapse(399)).toEqual([]);
    expect(await elapse(1)).toEqual(['timeout']);
    expect(clock.stoodMs).toBe(500_000);
  });

  test('goes on when the last of several pauses is over, each of which ends once', async () => {
    const clock = new ExecutionClock();
    const { elapse } = limitOn(clock);
    const [first, second] = [clock.pause(), clock.pause()];
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    expect(await elapse(5000)).toEqual([]);
    second[Symbol.dispose]();
    expect(await elapse(1000)).toEqual(['timeout']);
    expect(clock.stoodMs).toBe(5000);
  });

  test('that is paused still obeys a cancellation', async () => {
    const cancel = new AbortController();
    const clock = new ExecutionClock();
    const { elapse } = limitOn(clock, cancel.signal);
    using _pause = clock.pause();
    cancel.abort();
    expect(await elapse(0)).toEqual(['cancelled']);
  });

  test('goes on when it has stood still as long as it may, in one pause or in several', async () => {
    const clock = new ExecutionClock(3000);
    const { elapse } = limitOn(clock);
    clock.pause()[Symbol.dispose]();
    const first = clock.pause();
    await elapse(2000);
    first[Symbol.dispose]();
    using _second = clock.pause();
    expect(await elapse(1999)).toEqual([]);
    expect(await elapse(1)).toEqual(['timeout']);
    expect(clock.stoodMs).toBe(3000);
  });

  test('holds back no limit that is disposed of', async () => {
    const clock = new ExecutionClock();
    const { deadline, elapse } = limitOn(clock);
    const pause = clock.pause();
    deadline[Symbol.dispose]();
    pause[Symbol.dispose]();
    expect(await elapse(10_000)).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });
});

test('what a call waited for an answer is told as a part of its duration', async () => {
  const clock = new ExecutionClock();
  const stopwatch = new Stopwatch(clock);
  stopwatch.begin();
  await vi.advanceTimersByTimeAsync(100);
  expect(stopwatch.read()).toEqual({ durationMs: 100 });
  const pause = clock.pause();
  await vi.advanceTimersByTimeAsync(5000);
  pause[Symbol.dispose]();
  expect(stopwatch.read()).toEqual({ durationMs: 5100, waitedMs: 5000 });
});
