import { expect, test } from 'vitest';
import { randomId } from './random-id.ts';

test('no id is made twice, also when the bytes made ahead are used up', () => {
  const ids = Array.from({ length: 2000 }, () => randomId(9));
  expect(new Set(ids).size).toBe(ids.length);
  for (const id of ids) expect(id).toMatch(/^[\w-]{12}$/);
});
