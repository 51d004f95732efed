import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { toPart } from '../drawing.ts';
import type { Outcome } from './simulation.ts';

const WIDTH = 900;
const HEIGHT = 260;
const MARGINS = { marginTop: 40, marginLeft: 70, marginRight: 20, marginBottom: 44 };
const STYLE = `
  :root { --page: #ffffff; --ink: #1f2328; --dim: #656d76; --own: #1769c4; --slow: #b35900; }
  @media (prefers-color-scheme: dark) {
    :root { --page: #0d1117; --ink: #e6edf3; --dim: #9198a1; --own: #4c9bf0; --slow: #f0883e; }
  }
  text { font: 12px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; }
  .heading { font-size: 13px; font-weight: 600; }
`;

type Point = Record<'x' | 'y', number>;

/** An SVG of what bends: writes by their rate, and what a control plane takes by the number of sessions. */
export function renderScale({ loaded, growth }: Outcome): string {
  const panels = [
    draw('Write the state of a session, ms, by writes a second (blue: p50, orange: p99)', [
      [loaded.map(({ asked, p50 }) => ({ x: asked, y: p50 })), 'var(--own)'],
      [loaded.map(({ asked, p99 }) => ({ x: asked, y: p99 })), 'var(--slow)'],
    ]),
    draw('Milliseconds until a new control plane knows all sessions and sandboxes, by sessions', [
      [growth.map(({ sessions, joinMs }) => ({ x: sessions, y: joinMs })), 'var(--own)'],
    ]),
    draw('Memory of a control plane that holds none, MiB, by sessions of the service', [
      [growth.map(({ sessions, residentMb }) => ({ x: sessions, y: residentMb })), 'var(--own)'],
    ]),
  ];
  const placed = panels.map((panel, at) => {
    panel.setAttribute('y', String(at * HEIGHT));
    return panel.outerHTML;
  });
  const height = HEIGHT * panels.length;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" fill="var(--ink)">`,
    `<title>What many sessions ask of a cluster</title><style>${STYLE}</style>`,
    `<rect fill="var(--page)" width="${WIDTH}" height="${height}" rx="8"/>`,
    ...placed,
    '</svg>\n',
  ].join('\n');
}

function draw(heading: string, lines: readonly (readonly [points: readonly Point[], colour: string])[]) {
  const { document } = parseHTML('<html></html>');
  const drawing = Plot.plot({
    ...MARGINS,
    ...{ document, width: WIDTH, height: HEIGHT },
    x: { label: null, zero: true },
    y: { label: null, zero: true, grid: true },
    marks: [
      ...lines.flatMap(([points, stroke]) => [
        Plot.lineY(points, { x: 'x', y: 'y', stroke }),
        Plot.dot(points, { x: 'x', y: 'y', fill: stroke }),
      ]),
      Plot.text([heading], { frameAnchor: 'top-left', dy: -26, fontSize: 13, fontWeight: '600' }),
    ],
  });
  return toPart(drawing, heading);
}
