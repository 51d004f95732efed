import { median, quantile } from './measure.ts';

/** What was measured, and with what. */
export type Facts = Readonly<Record<string, string | number | boolean>>;

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
  readonly unit: 'ms' | 'MiB' | 'MB/s' | '/s' | 'x' | 'count';
  readonly samples: readonly number[];
  readonly comparisons: readonly Comparison[];
  /** The same by the build that this run is compared with. */
  readonly baseline?: readonly number[];
  /** Highest median that is wanted. */
  readonly atMost?: number;
  /** What is wanted of the median in multiples of the one of `TARGETS_OF`: at most so much, of a rate at least. */
  readonly ofTargets?: number;
}

/** A row's figures; a percentile is what that part of the samples is better than. */
export interface Summary {
  readonly p50: number;
  readonly p90: number;
  /** Only where there are samples enough for it to mean something. */
  readonly p99?: number;
  readonly comparisons: readonly (Comparison & { readonly ratio: number; readonly met?: boolean })[];
  /** The baseline's median; this one divided by it. */
  readonly baselineP50?: number;
  readonly ofBaseline?: number;
  /** Whether the median is as low as is wanted. */
  readonly met?: boolean;
}

/** The commit that the targets under `x of` are meant for; none is shown beside another. */
const TARGETS_OF = '05e987f';
/** The one after the unit is there if the run was compared with another build. */
const HEADINGS = ['', 'p50', 'p90', 'p99', '', 'x of', 'ratio', 'to', 'target', ''];
const OF_BASELINE = HEADINGS.indexOf('x of');
/** Columns of numbers. */
const RIGHT = /^(p\d+|ratio|x of .*)$/;
const ENOUGH_FOR_P99 = 100;

export function toRow(
  what: string,
  unit: Row['unit'],
  samples: readonly number[],
  comparisons: readonly Comparison[] = [],
): Row {
  return { what, unit, samples, comparisons };
}

export function summarize({ unit, samples, comparisons, baseline, atMost }: Row): Summary {
  const p50 = median(samples);
  const baselineP50 = baseline && median(baseline);
  const worst = (part: number) => quantile(samples, isRate(unit) ? 1 - part : part);
  return {
    p50,
    p90: worst(0.9),
    ...(samples.length >= ENOUGH_FOR_P99 ? { p99: worst(0.99) } : {}),
    comparisons: comparisons.map((comparison) => {
      const ratio = p50 / comparison.of;
      return { ...comparison, ratio, ...(comparison.target === undefined ? {} : { met: ratio <= comparison.target }) };
    }),
    ...(baselineP50 === undefined ? {} : { baselineP50, ofBaseline: p50 / baselineP50 }),
    ...(atMost === undefined ? {} : { met: p50 <= atMost }),
  };
}

/** Whether more is better, and the bad end the low one. */
function isRate(unit: Row['unit']): boolean {
  return unit.endsWith('/s');
}

/** One table for people: a line for each measurement, and one more for each further comparison. */
export function renderTable({ facts, rows }: { readonly facts: Facts; readonly rows: readonly Row[] }): string {
  const against = String(facts['against']);
  const measured = rows.flatMap((row) => [...toLines(row), ...toTargetLine(row, against)]);
  const all = [HEADINGS.with(OF_BASELINE, `x of ${against}`), ...measured];
  const lines = facts['against'] === undefined ? all.map((line) => line.toSpliced(OF_BASELINE, 1)) : all;
  const names = lines[0] ?? [];
  const widths = names.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const pad = (cell: string, column: number) =>
    RIGHT.test(names[column] ?? '') ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0);
  const [headings = '', ...body] = lines.map((line) => line.map(pad).join('  ').trimEnd());
  const about = Object.entries(facts).map(([name, value]) => `${name}: ${value}`);
  return [...about, '', headings, '-'.repeat(widths.reduce((sum, width) => sum + width + 2, -2)), ...body].join('\n');
}

function toLines(row: Row): string[][] {
  const { p50, p90, p99, comparisons, ofBaseline, met } = summarize(row);
  const [first = ['', ''], ...others] = comparisons.map(toCells);
  const wanted = met === undefined ? [] : [`<= ${row.atMost} ${row.unit}`, verdict(met)];
  // What there is one sample of has no end that is worse.
  const percentiles = [p50, ...(row.samples.length > 1 ? [p90] : []), ...(p99 === undefined ? [] : [p99])];
  const [middle = '', slow = '', slowest = ''] = percentiles.map(toNumber);
  const unit = row.unit === 'count' ? '' : row.unit;
  const beside = ofBaseline === undefined ? '' : toRatio(ofBaseline);
  return [
    [row.what, middle, slow, slowest, unit, beside, ...first, ...wanted],
    ...others.map((cells) => ['', '', '', '', '', '', ...cells]),
  ];
}

/** What is wanted of the ratio to the other build, on a line of its own. */
function toTargetLine(row: Row, against: string): string[][] {
  const { ofBaseline } = summarize(row);
  const { ofTargets, unit } = row;
  if (ofTargets === undefined || ofBaseline === undefined || !against.startsWith(TARGETS_OF)) return [];
  const [sign, met] = isRate(unit) ? ['>=', ofBaseline >= ofTargets] : ['<=', ofBaseline <= ofTargets];
  return [['', '', '', '', '', '', toRatio(ofBaseline), against, `${sign} ${toRatio(ofTargets)}`, verdict(met)]];
}

function toCells({ floor, target, ratio, met }: Summary['comparisons'][number]): string[] {
  const cells = [toRatio(ratio), floor];
  return target === undefined || met === undefined ? cells : [...cells, `<= ${toRatio(target)}`, verdict(met)];
}

function verdict(met: boolean): string {
  return met ? 'met' : 'missed';
}

/** `0.48 x` of a floor, or `1/15.2` of a far one. */
export function toRatio(ratio: number): string {
  return ratio < 0.2 ? `1/${(1 / ratio).toFixed(1).replace('.0', '')}` : `${ratio.toFixed(2)} x`;
}

/** Three digits or so. */
export function toNumber(value: number): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return value.toFixed(digits).replace(/^-(0\.0+)$/, '$1');
}
