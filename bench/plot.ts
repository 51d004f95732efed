import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { toPart } from './drawing.ts';
import { median } from './measure.ts';
import { type Row, summarize, toNumber, toRatio } from './table.ts';

const WIDTH = 900;
const LINE = 18;
const MARGINS = { marginTop: 40, marginBottom: 30, marginLeft: 412, marginRight: 130 };
/** Where the title and the legend end. */
const TOP = 70;

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
  text { font: 12px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; }
  .heading { font-size: 13px; font-weight: 600; }
`;
const LEGEND = `
  <text x="24" y="36" style="font-size: 17px; font-weight: 600">Glovebox against its floors (medians)</text>
  <rect x="24" y="48" width="12" height="12" rx="2" fill="var(--floor)"/>
  <text x="42" y="58">floor: without Glovebox, or without the load</text>
  <rect x="324" y="48" width="12" height="12" rx="2" fill="var(--own)"/>
  <text x="342" y="58">Glovebox, with its ratio as in the table</text>
`;

/** Floors, and what is a multiple of them; of one unit. */
interface Group {
  readonly unit: Row['unit'];
  readonly floors: Map<string, number>;
  readonly rows: Row[];
}

interface Bar {
  readonly name: string;
  readonly value: number;
  readonly fill: 'var(--floor)' | 'var(--own)';
  readonly label: string;
}

/** An SVG of all that is compared: each floor, and below it Glovebox doing the same; logarithmic, for light and dark. */
export function renderPlot(rows: readonly Row[]): string {
  const groups = groupByFloor(rows);
  let height = TOP;
  const panels = PANELS.flatMap(([unit, heading]) => {
    const own = groups.filter((group) => group.unit === unit);
    if (own.length === 0) return [];
    const panel = drawPanel(heading, own);
    panel.setAttribute('y', String(height));
    height += Number(panel.getAttribute('height'));
    return [panel.outerHTML];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" fill="var(--ink)">`,
    `<title>Glovebox against its floors</title><style>${STYLE}</style>`,
    `<rect fill="var(--page)" width="${WIDTH}" height="${height}" rx="8"/>`,
    LEGEND,
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

function toBars({ floors, rows }: Group): Bar[] {
  const own = rows.map((row): Bar => {
    const { p50, comparisons } = summarize(row);
    const ratio = toRatio(comparisons[0]?.ratio ?? 1);
    return { name: row.what, value: p50, fill: 'var(--own)', label: `${toNumber(p50)}  (${ratio})` };
  });
  const others = [...floors].filter(([name]) => !rows.some(({ what }) => what === name));
  return [
    ...others.map(([name, value]): Bar => ({ name, value, fill: 'var(--floor)', label: toNumber(value) })),
    ...own,
  ];
}

function drawPanel(heading: string, groups: readonly Group[]) {
  const { document } = parseHTML('<html></html>');
  const bars = groups.map(toBars);
  const values = bars.flat().map(({ value }) => value);
  // The least bar is still one to be seen.
  const first = 10 ** Math.floor(Math.log10(Math.min(...values)) - 0.1);
  const decades = Array.from(
    { length: Math.log10(Math.max(...values) / first) + 1 },
    (_, power) => first * 10 ** power,
  );
  // An empty line of its own between two groups.
  const lines = bars.flatMap((group, index) => [...group.map(({ name }) => name), ' '.repeat(index + 1)]).slice(0, -1);
  const drawing = Plot.plot({
    ...MARGINS,
    document,
    width: WIDTH,
    height: MARGINS.marginTop + lines.length * LINE + MARGINS.marginBottom,
    x: { type: 'log', domain: [first, Math.max(...values)] },
    y: { domain: lines, padding: 0.3, label: null },
    marks: [
      Plot.text([heading], { frameAnchor: 'top-left', dx: 24 - MARGINS.marginLeft, dy: -24, className: 'heading' }),
      Plot.gridX(decades, { stroke: 'var(--grid)', strokeOpacity: 1 }),
      Plot.axisX(decades, {
        tickFormat: (value: number) => value.toLocaleString('en'),
        tickSize: 0,
        color: 'var(--dim)',
        label: null,
      }),
      Plot.axisY({ tickSize: 0, tickPadding: 12 }),
      Plot.barX(bars.flat(), { x1: first, x2: 'value', y: 'name', fill: ({ fill }) => fill, r: 2 }),
      Plot.text(bars.flat(), { x: 'value', y: 'name', text: 'label', textAnchor: 'start', dx: 6 }),
    ],
  });
  return toPart(drawing, heading);
}
