import { expect, test } from 'vitest';
import { parseRange } from './file-range.ts';

// What a header says, and which are ignored, is tried in src/lib/byte-range.test.ts.
test.each([
  ['bytes=0-0', { offset: 0, length: 1 }],
  ['bytes=5-', { offset: 5 }],
  ['bytes=-3', { suffix: 3 }],
  ['bytes=-0', { suffix: 0 }],
  ['bytes=2-400', { offset: 2, length: 399 }],
  ['bytes=999999999999999-', { offset: 999_999_999_999_999 }],
  ['bytes=-999999999999999', { suffix: 999_999_999_999_999 }],
  ['bytes=5-2', undefined],
  [undefined, undefined],
] as const)('%s of a file whose size is not known yet', (header, expected) => {
  expect(parseRange(header)).toEqual(expected);
});
