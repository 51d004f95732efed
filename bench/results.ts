import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { renderPlot } from './plot.ts';
import { type Facts, type Row, summarize } from './table.ts';

const DIRECTORY = fileURLToPath(new URL('results/', import.meta.url));

/** A whole run. */
export interface Results {
  readonly facts: Facts;
  readonly rows: readonly Row[];
}

/** Keeps a run with all its samples, for other programs, and its plot; where. */
export function save({ facts, rows }: Results): string {
  mkdirSync(DIRECTORY, { recursive: true });
  const path = join(DIRECTORY, String(facts['at']).replaceAll(/[:.]/g, '-'));
  const measurements = rows.map((row) => ({ ...row, ...summarize(row) }));
  writeFileSync(`${path}.json`, `${JSON.stringify({ facts, measurements }, undefined, 2)}\n`);
  writeFileSync(`${path}.svg`, renderPlot(rows));
  return relative(process.cwd(), `${path}.json`);
}

/** What `save` kept. */
export function load(path: string): Results {
  const { facts, measurements } = JSON.parse(readFileSync(path, 'utf8')) as {
    facts: Facts;
    measurements: readonly (Row & Pick<ReturnType<typeof summarize>, 'comparisons'>)[];
  };
  return { facts, rows: measurements };
}
