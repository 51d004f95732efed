import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Shortfall } from '../../src/sandbox/assurances.ts';
import { CATALOG } from './catalog.ts';
import type { Line, SuiteName } from './suites.ts';

/** What was seen of an engine. Kept in files, so that the page has the engines of earlier runs too. */
export interface EngineResult {
  readonly name: string;
  readonly title: string;
  /** Day of the run, as `2026-01-31`. */
  readonly date: string;
  readonly kernel: string;
  readonly cgroupVersion: string;
  /** Packages with their versions, with commas between. */
  readonly versions: string;
  /** Why the product does not use it, in the product's words. */
  readonly refused?: string;
  /** What its sandboxes lack, as the product was allowed to serve without. */
  readonly missing?: readonly Shortfall[];
  readonly suites: Readonly<Partial<Record<SuiteName, readonly Line[]>>>;
}

const FOLDER = fileURLToPath(new URL('results', import.meta.url));

/** Returns the results of all engines that were run, in the order of the catalog. */
export function readResults(): EngineResult[] {
  mkdirSync(FOLDER, { recursive: true });
  const results = readdirSync(FOLDER).map(
    (file) => JSON.parse(readFileSync(join(FOLDER, file), 'utf8')) as EngineResult,
  );
  const order = CATALOG.map(({ name }) => name);
  return results.sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
}

/** Saves a result. Subjects that were not run now stay as they were, where they are of the same versions. */
export function saveResult(result: EngineResult): void {
  const before = readResults().find(({ name }) => name === result.name);
  const kept = before?.versions === result.versions && !result.refused ? before.suites : {};
  const merged = { ...result, suites: { ...kept, ...result.suites } };
  writeFileSync(join(FOLDER, `${result.name}.json`), `${JSON.stringify(merged, null, 2)}\n`);
}
