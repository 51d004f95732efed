import { expect, it } from 'vitest';
import { guardListener } from './guard-listener.ts';

it('passes events and promises on while the listener is well', async () => {
  const heard: number[] = [];
  const { onEvent, signal, check } = guardListener<number>((event) => void heard.push(event), undefined);
  expect(onEvent?.(1)).toBeUndefined();
  expect(heard).toEqual([1]);
  expect(signal.aborted).toBe(false);
  check();
  const waiting = guardListener<number>(() => Promise.resolve(), undefined).onEvent?.(1);
  expect(waiting).toBeInstanceOf(Promise);
  await waiting;
});

it('keeps the first failure, aborts by it, and calls the listener no more', async () => {
  let calls = 0;
  const failing = async () => {
    calls += 1;
    throw new Error(`failure ${calls}`);
  };
  const { onEvent, signal, check } = guardListener<number>(failing, undefined);
  await onEvent?.(1);
  expect(signal.aborted).toBe(true);
  expect(onEvent?.(2)).toBeUndefined();
  expect(calls).toBe(1);
  expect(check).toThrow('failure 1');
});

it('aborts with the signal of the caller, and makes no listener where there is none', () => {
  const caller = new AbortController();
  const { onEvent, signal, check } = guardListener(undefined, caller.signal);
  caller.abort();
  expect(signal.aborted).toBe(true);
  expect(onEvent).toBeUndefined();
  check();
});
