import { expect, test } from 'vitest';
import { parseRange } from './file-range.ts';

test.each([
  ['bytes=0-0', { offset: 0, length: 1 }],
  ['bytes=5-', { offset: 5 }],
  ['bytes=-3', { suffix: 3 }],
  ['bytes=-0', { suffix: 0 }],
  ['bytes=2-400', { offset: 2, length: 399 }],
  ['bytes=999999999999999-', { offset: 999_999_999_999_999 }],
  ['bytes=-999999999999999', { suffix: 999_999_999_999_999 }],
  ['BYTES=0-1', { offset: 0, length: 2 }],
  ['bytes=5-2', undefined],
  ['bytes=0-1,4-5', undefined],
  ['bytes=-', undefined],
  ['items=0-1', undefined],
  ['bytes=99999999999999999999-', undefined],
  [undefined, undefined],
] as const)('%s of a file whose size is not known yet', (header, expected) => {
  expect(parseRange(header)).toEqual(expected);
});
