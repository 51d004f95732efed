import { mkdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { median } from './measure.ts';
import type { Facts } from './setting.ts';
import { type Row, slowEnd } from './table.ts';

const DIRECTORY = fileURLToPath(new URL('results/', import.meta.url));

/** Keeps a run with all its samples, for other programs; where. */
export function save(facts: Facts, rows: readonly Row[]): string {
  mkdirSync(DIRECTORY, { recursive: true });
  const path = join(DIRECTORY, `${String(facts['at']).replaceAll(/[:.]/g, '-')}.json`);
  const measurements = rows.map((row) => ({ ...row, p50: median(row.samples), p90: slowEnd(row.unit, row.samples) }));
  writeFileSync(path, `${JSON.stringify({ facts, measurements }, undefined, 2)}\n`);
  return relative(process.cwd(), path);
}
