import { median } from './measure.ts';
import { type Row, summarize, toNumber, toRatio } from './table.ts';

const WIDTH = 900;
const MARGIN = 24;
/** Where names end, and where bars begin and end. */
const NAMES_END = 400;
const BARS = { start: 412, end: 750 };
/** Where the ratios are written. */
const RATIOS_END = 876;
const LINE = 20;
const BAR = 12;
const GROUP_GAP = 10;
const PANEL = { heading: 46, axis: 30 };
const TOP = 78;

const PANELS: readonly (readonly [unit: Row['unit'], heading: string])[] = [
  ['ms', 'Milliseconds — shorter is better'],
  ['/s', 'A second — longer is better'],
  ['MB/s', 'Megabytes a second — longer is better'],
  ['MiB', 'Memory in MiB — shorter is better'],
];

const STYLE = `
  :root { --page: #ffffff; --ink: #1f2328; --dim: #656d76; --grid: #e4e8ec; --floor: #b3bcc6; --own: #1769c4; }
  @media (prefers-color-scheme: dark) {
    :root { --page: #0d1117; --ink: #e6edf3; --dim: #9198a1; --grid: #262c34; --floor: #59636e; --own: #4c9bf0; }
  }
  text { font: 12px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: var(--ink); }
  .title { font-size: 17px; font-weight: 600; }
  .heading { font-size: 13px; font-weight: 600; }
  .dim { fill: var(--dim); }
  .ratio { font-weight: 600; }
  .end { text-anchor: end; }
  .middle { text-anchor: middle; }
  .page { fill: var(--page); }
  .grid { stroke: var(--grid); }
  .floor { fill: var(--floor); }
  .own { fill: var(--own); }
`;

/** Floors, and what is a multiple of them; of one unit. */
interface Group {
  readonly unit: Row['unit'];
  readonly floors: Map<string, number>;
  readonly rows: Row[];
}

interface Drawing {
  readonly svg: string;
  readonly height: number;
}

/** An SVG of all that is compared: each floor, and below it Glovebox doing the same; logarithmic, for light and dark. */
export function renderPlot(rows: readonly Row[]): string {
  const groups = groupByFloor(rows);
  let y = TOP;
  const panels = PANELS.map(([unit, heading]) => {
    const own = groups.filter((group) => group.unit === unit);
    if (own.length === 0) return '';
    const { svg, height } = drawPanel(heading, own);
    const placed = `<g transform="translate(0 ${y})">${svg}</g>`;
    y += height;
    return placed;
  });
  const height = y + MARGIN / 2;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    `<title>Glovebox against its floors</title><style>${STYLE}</style>`,
    `<rect class="page" width="${WIDTH}" height="${height}" rx="8"/>`,
    text(MARGIN, 36, 'Glovebox against its floors (medians)', 'title'),
    drawLegend(MARGIN, 58),
    ...panels,
    '</svg>\n',
  ].join('\n');
}

/** Rows that share a floor stand together, so that each floor is drawn once, by the whole name of its own row. */
function groupByFloor(rows: readonly Row[]): Group[] {
  const groups: Group[] = [];
  for (const row of rows.filter(({ comparisons }) => comparisons.length > 0)) {
    const floors = new Map(
      row.comparisons.map(({ floor, of }) => [
        rows.find(({ unit, samples }) => unit === row.unit && median(samples) === of)?.what ?? floor,
        of,
      ]),
    );
    const group = groups.find(
      (other) => other.unit === row.unit && [...floors.keys()].some((it) => other.floors.has(it)),
    );
    if (!group) groups.push({ unit: row.unit, floors, rows: [row] });
    else {
      for (const [name, of] of floors) group.floors.set(name, of);
      group.rows.push(row);
    }
  }
  return groups;
}

function drawPanel(heading: string, groups: readonly Group[]): Drawing {
  const values = groups.flatMap(({ floors, rows }) => [
    ...floors.values(),
    ...rows.map(({ samples }) => median(samples)),
  ]);
  const [least, most] = [Math.min(...values), Math.max(...values)].map(Math.log10) as [number, number];
  // The least bar is still one to be seen.
  const decades = { first: Math.floor(least - 0.1), last: Math.floor(most) };
  const scale = (value: number) =>
    BARS.start + ((BARS.end - BARS.start) * (Math.log10(value) - decades.first)) / (most - decades.first);
  const lines: string[] = [];
  let y = PANEL.heading;
  for (const { floors, rows } of groups) {
    for (const [floor, of] of [...floors].filter(([name]) => !rows.some(({ what }) => what === name))) {
      lines.push(drawBar(y, { name: floor, value: of, className: 'floor', end: scale(of) }));
      y += LINE;
    }
    for (const row of rows) {
      const value = median(row.samples);
      lines.push(drawBar(y, { name: row.what, value, className: 'own', end: scale(value) }), drawRatios(y, row));
      y += LINE;
    }
    y += GROUP_GAP;
  }
  const axis = drawAxis(decades, scale, y);
  return { svg: [text(MARGIN, 24, heading, 'heading'), axis, ...lines].join('\n'), height: y + PANEL.axis };
}

interface Bar {
  readonly name: string;
  readonly value: number;
  readonly className: 'floor' | 'own';
  readonly end: number;
}

function drawBar(y: number, { name, value, className, end }: Bar): string {
  const width = Math.max(2, end - BARS.start).toFixed(1);
  const baseline = y + BAR - 2;
  const dim = className === 'floor' ? 'dim' : '';
  return [
    text(NAMES_END, baseline, name, `end ${dim}`),
    `<rect class="${className}" x="${BARS.start}" y="${y}" width="${width}" height="${BAR}" rx="2"/>`,
    text(end + 6, baseline, toNumber(value), dim),
  ].join('');
}

function drawRatios(y: number, row: Row): string {
  const [first] = summarize(row).comparisons;
  return first ? text(RATIOS_END, y + BAR - 2, toRatio(first.ratio), 'ratio end') : '';
}

/** A line for each power of ten, behind the bars. */
function drawAxis(
  { first, last }: { first: number; last: number },
  scale: (value: number) => number,
  y: number,
): string {
  return Array.from({ length: last - first + 1 }, (_, index) => {
    const value = 10 ** (first + index);
    const x = scale(value).toFixed(1);
    const line = `<line class="grid" x1="${x}" x2="${x}" y1="${PANEL.heading - 8}" y2="${y}"/>`;
    return line + text(Number(x), y + 14, value.toLocaleString('en'), 'dim middle');
  }).join('');
}

function drawLegend(x: number, y: number): string {
  return [
    `<rect class="floor" x="${x}" y="${y - 10}" width="${BAR}" height="${BAR}" rx="2"/>`,
    text(x + 18, y, 'floor: without Glovebox, or without the load'),
    `<rect class="own" x="${x + 300}" y="${y - 10}" width="${BAR}" height="${BAR}" rx="2"/>`,
    text(x + 318, y, 'Glovebox, with its ratio as in the table'),
  ].join('');
}

function text(x: number, y: number, content: string, className = ''): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${Number(x.toFixed(1))}" y="${y}" class="${className.trim()}">${escaped}</text>`;
}
