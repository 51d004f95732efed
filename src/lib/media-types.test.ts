import { expect, test } from 'vitest';
import { mediaTypeOf, UNKNOWN_TYPE } from './media-types.ts';

test.each([
  ['table.csv', 'text/csv'],
  ['folder.v2/Chart.PNG', 'image/png'],
  ['notebook.ipynb', 'application/x-ipynb+json'],
  ['events.jsonl', 'application/jsonl'],
  ['table.parquet', 'application/vnd.apache.parquet'],
  ['main.py', 'text/x-python'],
  ['all.tar', 'application/x-tar'],
  ['all.tar.gz', 'application/gzip'],
  ['table.xlsx', 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet'],
  ['data.xml', 'application/xml'],
])('a file %s is %s', (path, type) => {
  expect(mediaTypeOf(path)).toBe(type);
});

test.each(['main.ts', 'lib.rs', 'a.constructor', 'a.__proto__', 'README', 'csv', 'png/x', 'a.csv '])(
  'of a file %j nothing is known',
  (path) => {
    expect(mediaTypeOf(path)).toBe(UNKNOWN_TYPE);
  },
);
