import { median, quantile } from './measure.ts';
import type { Facts } from './setting.ts';

/** Something that a measurement is a multiple of. */
export interface Comparison {
  readonly floor: string;
  /** The floor's own median. */
  readonly of: number;
  /** Highest multiple that is wanted. */
  readonly target?: number;
}

export interface Row {
  readonly what: string;
  readonly unit: 'ms' | 'MiB' | 'MB/s';
  readonly samples: readonly number[];
  readonly comparisons: readonly Comparison[];
  /** Highest median that is wanted. */
  readonly atMost?: number;
}

const HEADINGS = ['', 'p50', 'p90', '', 'ratio', 'to', 'target', ''];
/** Columns of numbers. */
const RIGHT = new Set([1, 2, 4]);

export function toRow(
  what: string,
  unit: Row['unit'],
  samples: readonly number[],
  comparisons: readonly Comparison[] = [],
): Row {
  return { what, unit, samples, comparisons };
}

/** What nine samples of ten are better than; a throughput's bad end is the low one. */
export function slowEnd(unit: Row['unit'], samples: readonly number[]): number {
  return quantile(samples, unit === 'MB/s' ? 0.1 : 0.9);
}

/** One table for people: a line for each measurement, and one more for each further comparison. */
export function renderTable(facts: Facts, rows: readonly Row[]): string {
  const lines = [HEADINGS, ...rows.flatMap(toLines)];
  const widths = HEADINGS.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const pad = (cell: string, column: number) =>
    RIGHT.has(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0);
  const [headings = '', ...body] = lines.map((line) => line.map(pad).join('  ').trimEnd());
  const about = Object.entries(facts).map(([name, value]) => `${name}: ${value}`);
  return [...about, '', headings, '-'.repeat(widths.reduce((sum, width) => sum + width + 2, -2)), ...body].join('\n');
}

function toLines({ what, unit, samples, comparisons, atMost }: Row): string[][] {
  const p50 = median(samples);
  const p90 = slowEnd(unit, samples);
  const [first = ['', ''], ...others] = comparisons.map((comparison) => toCells(p50, comparison));
  const wanted = atMost === undefined ? [] : [`<= ${atMost} ${unit}`, verdict(p50, atMost)];
  return [
    [what, toNumber(p50), toNumber(p90), unit, ...first, ...wanted],
    ...others.map((cells) => ['', '', '', '', ...cells]),
  ];
}

function toCells(p50: number, { floor, of, target }: Comparison): string[] {
  const ratio = p50 / of;
  const cells = [toRatio(ratio), floor];
  return target === undefined ? cells : [...cells, `<= ${toRatio(target)}`, verdict(ratio, target)];
}

function verdict(value: number, target: number): string {
  return value <= target ? 'met' : 'missed';
}

/** `0.48 x` of a floor, or `1/15.2` of a far one. */
function toRatio(ratio: number): string {
  return ratio < 0.2 ? `1/${(1 / ratio).toFixed(1).replace('.0', '')}` : `${ratio.toFixed(2)} x`;
}

function toNumber(value: number): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return value.toFixed(digits).replace(/^-(0\.0+)$/, '$1');
}
