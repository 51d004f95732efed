import { expect, test } from 'vitest';
import { listCases, rowOf, rowsOnPage } from './hostile-table.ts';

test('docs/security.md names each hostile case and no other ("npm run docs:hostile" writes them)', () => {
  const cases = listCases();
  expect(rowsOnPage()).toEqual(cases.map(rowOf));
  expect(cases.length).toBeGreaterThanOrEqual(80);
  expect(new Set(cases.map(({ subject }) => subject)).size).toBe(11);
}, 60_000);
