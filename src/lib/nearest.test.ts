import { expect, test } from 'vitest';
import { nearest } from './nearest.ts';

test.each([
  ['sesion_id', 'session_id'],
  ['TIMEOUT', 'timeout'],
  ['codde', 'code'],
  ['time_out_seconds', 'timeout_seconds'],
  ['x', undefined],
  ['something else', undefined],
])('%s is taken for %s', (word, expected) => {
  expect(nearest(word, ['session_id', 'timeout', 'timeout_seconds', 'code', 'environment'])).toBe(expected);
});

test('nothing is near where there is nothing', () => {
  expect(nearest('code', [])).toBeUndefined();
});
