import { readFileSync, writeFileSync } from 'node:fs';
import { renderPlot } from './plot.ts';
import type { Results } from './results.ts';
import { renderTable } from './table.ts';

const TEXT = new URL('../docs/performance.md', import.meta.url);
const PLOT = new URL('../docs/performance.svg', import.meta.url);
/** The one block of the text that is a table. */
const BLOCK = /(?<=## The last run\n.*?```\n).*?(?=```)/s;

/** Puts a run's table and plot in place of those in docs/. */
export function writeDocument(results: Results): void {
  const text = readFileSync(TEXT, 'utf8');
  if (!BLOCK.test(text)) throw new Error('docs/performance.md has no block for the last run.');
  writeFileSync(
    TEXT,
    text.replace(BLOCK, () => `${renderTable(results)}\n`),
  );
  writeFileSync(PLOT, renderPlot(results.rows));
}
