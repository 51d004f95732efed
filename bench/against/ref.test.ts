import { expect, test } from 'vitest';
import { nameOf } from './ref.ts';

test('a commit is called as it was given, and a branch with the commit that it was', () => {
  const commit = '142dfec6136b4d2fc2bf9745eb2d4f0346b9526e';
  expect(nameOf('142dfec', commit)).toBe('142dfec');
  expect(nameOf('main', commit)).toBe('main (142dfec)');
});
