import { expect, test } from 'vitest';
import { renderPlot } from './plot.ts';
import { toRow } from './table.ts';

const ROWS = [
  toRow("local python3 -c 'print(1)'", 'ms', [20, 22, 24]),
  toRow('print(1): REST', 'ms', [11], [{ floor: 'local python3', of: 22 }]),
  toRow('print(1): a < b & c', 'ms', [44], [{ floor: 'local python3', of: 22 }]),
  toRow('control plane: resident', 'MiB', [114]),
  toRow('8 sessions at once', '/s', [129], [{ floor: 'exec', of: 20 }]),
];

/** The texts of an SVG, in the order in which they are drawn. */
function textsOf(svg: string): string[] {
  return [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text = '']) => text.trim()).filter(Boolean);
}

test('the plot has what is compared, each floor once by the name of its row, and the ratio to it', () => {
  const svg = renderPlot(ROWS);
  const texts = textsOf(svg);
  for (const text of ["local python3 -c 'print(1)'", 'print(1): REST', 'exec', '8 sessions at once']) {
    expect(texts.filter((it) => it === text)).toHaveLength(1);
  }
  expect(texts).toEqual(
    expect.arrayContaining(['22.0', '11.0  (0.50 x)', '44.0  (2.00 x)', '129  (6.45 x)', '10', '100']),
  );
  expect(texts).toContain('print(1): a &lt; b &amp; c');
  expect(texts).not.toContain('control plane: resident');
  expect(texts.join()).not.toContain('MiB');
  expect(svg).not.toContain('NaN');
});

test('a bar of the plot is as long as the logarithm of its value, from a power of ten on', () => {
  const row = (what: string, value: number) => toRow(what, 'ms', [value], [{ floor: 'exec', of: 10 }]);
  const svg = renderPlot([row('a', 100), row('b', 1000)]);
  const endOf = (label: string) =>
    Number(svg.match(new RegExp(`translate\\(([\\d.]+),[\\d.]+\\)"[^>]*>${label} `))?.[1]);
  const start = Number(svg.match(/translate\(([\d.]+),[\d.]+\)"[^>]*>1</)?.[1]);
  expect((endOf('100') - start) / (endOf('1000') - start)).toBeCloseTo(2 / 3);
});
