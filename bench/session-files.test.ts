import { expect, test } from 'vitest';
import { createTable } from './session-files.ts';

test('a table has as many bytes as were asked for, the same each time, and no two lines alike', () => {
  const table = createTable(10_000);
  expect(table).toHaveLength(10_000);
  expect(createTable(10_000)).toEqual(table);
  const lines = Buffer.from(table).toString('latin1').split('\n').slice(0, -1);
  expect(new Set(lines).size).toBe(lines.length);
  expect(lines[0]).toMatch(/^0,\d+\.\d+,\d+,0\.\d{6}$/);
});
