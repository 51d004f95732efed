import { expect, test } from 'vitest';
import { type Row, renderTable, summarize, toRow } from './table.ts';

const FACTS = { quick: true };
const ROWS: readonly Row[] = [
  toRow('local python3', 'ms', [20]),
  { ...toRow('print(1): REST', 'ms', [6, 8, 10], [{ floor: 'local python3', of: 20 }]), baseline: [15, 16, 30] },
  { ...toRow('8 sessions at once', '/s', [200]), baseline: [100] },
];

/** The cells of the line of a row. */
function cellsOf(table: string, row: string): string[] {
  const line = table.split('\n').find((it) => it.startsWith(row)) ?? '';
  return line.split(/ {2,}/);
}

test('beside each row stands its median divided by that of the other build', () => {
  const table = renderTable({ facts: { ...FACTS, against: '142dfec' }, rows: ROWS });
  expect(cellsOf(table, '  ')).toEqual(['', 'p50', 'p90', 'p99', 'x of 142dfec', 'ratio', 'to', 'target']);
  expect(cellsOf(table, 'print(1)')).toEqual([
    'print(1): REST',
    '8.00',
    '9.60',
    'ms',
    '0.50 x',
    '0.40 x',
    'local python3',
  ]);
  expect(cellsOf(table, '8 sessions')).toEqual(['8 sessions at once', '200', '/s', '2.00 x']);
  expect(cellsOf(table, 'local python3')).toEqual(['local python3', '20.0', 'ms']);
});

test('a run without another build has no column for one', () => {
  const table = renderTable({
    facts: FACTS,
    rows: ROWS.map(({ baseline: _, ...row }) => row),
  });
  expect(table).not.toContain('x of');
  expect(cellsOf(table, 'print(1)')).toEqual(['print(1): REST', '8.00', '9.60', 'ms', '0.40 x', 'local python3']);
});

test('the figures of a row tell the median of the other build, and the ratio to it', () => {
  const [, row] = ROWS;
  expect(row && summarize(row)).toMatchObject({ p50: 8, baselineP50: 16, ofBaseline: 0.5 });
});

test('rows that are read back from the figures of a run make the same table', () => {
  const facts = { ...FACTS, against: '142dfec' };
  const kept = JSON.parse(JSON.stringify(ROWS.map((row) => ({ ...row, ...summarize(row) }))));
  expect(renderTable({ facts, rows: kept })).toBe(renderTable({ facts, rows: ROWS }));
});

test('what is wanted of the ratio to one commit is told beside that commit alone', () => {
  const rows: readonly Row[] = [
    { ...toRow('print(1)', 'ms', [8]), baseline: [16], ofTargets: 0.5 },
    { ...toRow('8 sessions', '/s', [150]), baseline: [100], ofTargets: 1.8 },
  ];
  const lines = renderTable({ facts: { against: '05e987f' }, rows }).split('\n');
  const after = (row: string) => lines[lines.findIndex((line) => line.startsWith(row)) + 1]?.trim().split(/ {2,}/);
  expect(after('print(1)')).toEqual(['0.50 x', '05e987f', '<= 0.50 x', 'met']);
  expect(after('8 sessions')).toEqual(['1.50 x', '05e987f', '>= 1.80 x', 'missed']);
  expect(renderTable({ facts: { against: 'main (142dfec)' }, rows })).not.toContain('met');
});
