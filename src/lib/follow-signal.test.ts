import { expect, test } from 'vitest';
import { followSignal } from './follow-signal.ts';

test('follows an abort, its reason, and one that came before', () => {
  const source = new AbortController();
  using following = followSignal(source.signal);
  source.abort('enough');
  expect(following.signal.reason).toBe('enough');
  using late = followSignal(source.signal);
  expect(late.signal.aborted).toBe(true);
});

test('an abort after the call has ended aborts nothing', () => {
  const source = new AbortController();
  const following = followSignal(source.signal);
  following[Symbol.dispose]();
  source.abort();
  expect(following.signal.aborted).toBe(false);
});

test('follows whichever of several comes first', () => {
  const [first, second] = [new AbortController(), new AbortController()];
  using following = followSignal(first.signal, second.signal);
  second.abort('second');
  first.abort('first');
  expect(following.signal.reason).toBe('second');
});
