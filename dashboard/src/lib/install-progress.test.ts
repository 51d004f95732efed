import { expect, test } from 'vitest';
import { addProgress, stepOf } from './install-progress.ts';

test('each file of an installation has one line, in the order in which they came', () => {
  const messages = [
    'resolving',
    'downloading a-1.whl: 1 kB of 9 kB',
    'downloading b-1.whl: 2 kB of 2 kB (cached)',
    'downloading a-1.whl: 9 kB of 9 kB',
  ];
  const lines = messages.reduce(addProgress, [] as readonly string[]);
  expect(lines).toEqual([
    'resolving',
    'downloading a-1.whl: 9 kB of 9 kB',
    'downloading b-1.whl: 2 kB of 2 kB (cached)',
  ]);
  expect(stepOf(lines)).toBe('downloading b-1.whl');
  expect(stepOf(addProgress(lines, 'installing 2 packages'))).toBe('installing 2 packages');
});

test('of a long installation the last lines are left', () => {
  const lines = Array.from({ length: 200 }, (_, n) => `downloading f${n}.whl: 1 kB`).reduce(
    addProgress,
    [] as readonly string[],
  );
  expect(lines).toHaveLength(50);
  expect(lines.at(-1)).toBe('downloading f199.whl: 1 kB');
});
