import { expect, test } from 'vitest';
import { unlessAborted } from './stop.ts';

test('a run that was stopped while an image was being loaded waited for the engine to have it', async () => {
  const stop = new AbortController();
  const waiting = unlessAborted(new Promise(() => {}), stop.signal);
  stop.abort(new Error('SIGTERM'));
  await expect(waiting).rejects.toThrow('SIGTERM');
});

test('what ends before is returned, or thrown', async () => {
  const { signal } = new AbortController();
  expect(await unlessAborted(Promise.resolve(1), signal)).toBe(1);
  await expect(unlessAborted(Promise.reject(new Error('no engine')), signal)).rejects.toThrow('no engine');
});
