import { readFileSync, writeFileSync } from 'node:fs';
import { renderPlot } from './plot.ts';
import type { Results } from './results.ts';
import { renderTable } from './table.ts';

const TEXT = new URL('../docs/performance.md', import.meta.url);
const PLOT = new URL('../docs/performance.svg', import.meta.url);

/** Puts a run's table and plot in place of those in docs/. */
export function writeDocument(results: Results): void {
  writeBlock('The last run', renderTable(results));
  writeFileSync(PLOT, renderPlot(results.rows));
}

/** Puts a text in place of the first block below a heading. */
export function writeBlock(heading: string, content: string): void {
  const text = readFileSync(TEXT, 'utf8');
  const block = new RegExp(`(?<=## ${heading}\\n((?!\\n## ).)*?\`\`\`\\n).*?(?=\`\`\`)`, 's');
  if (!block.test(text)) throw new Error(`docs/performance.md has no block below "${heading}".`);
  writeFileSync(
    TEXT,
    text.replace(block, () => `${content}\n`),
  );
}
