import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { DetachKeys } from './detach-keys.ts';

let typed = '';
let left = 0;
let keys: DetachKeys;

beforeEach(() => {
  vi.useFakeTimers();
  [typed, left] = ['', 0];
  keys = new DetachKeys({
    type: (data) => {
      typed += Buffer.from(data).toString();
    },
    leave: () => {
      left += 1;
    },
  });
});
afterEach(() => void vi.useRealTimers());

test.each([['ab\x10\x11c'], ['ab', '\x10', '\x11'], ['ab\x10', '\x11rest']])('%j leaves', (...pieces) => {
  for (const piece of pieces) keys.take(Buffer.from(piece));
  expect([typed, left]).toEqual(['ab', 1]);
});

test('Ctrl-P alone is typed: with the next key, or a moment later', () => {
  keys.take(Buffer.from('\x10'));
  expect(typed).toBe('');
  keys.take(Buffer.from('x'));
  expect(typed).toBe('\x10x');
  keys.take(Buffer.from('\x10'));
  vi.advanceTimersByTime(1000);
  expect([typed, left]).toEqual(['\x10x\x10', 0]);
});
