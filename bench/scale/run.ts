import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Lab } from '../../scripts/kubernetes/lab.ts';
import { ensureProgram } from '../../scripts/kubernetes/program.ts';
import { installRecordsIn } from '../../test/support/session-records.ts';
import { quantile } from '../measure.ts';
import { renderScale } from './plot.ts';
import { type Outcome, Simulation } from './simulation.ts';

const USAGE = `Usage: npm run bench:scale -- [--sessions N] [--nodes N] [--control-planes N] [--document]

Plays a service of many sessions: a real API server with etcd, pods that no node runs, and the state of real control
planes. Tells what they ask of it, where it bends, and how long a claim, a takeover and a sweep take. Needs root and Go.
  --sessions        10000 by default
  --nodes           50 by default
  --control-planes  3 by default, and 2 at least
  --document        writes the plot into docs/
`;
const RESULTS = fileURLToPath(new URL('../results', import.meta.url));
const DOCUMENT = fileURLToPath(new URL('../../docs/scale.svg', import.meta.url));
const report = (line: string) => void process.stderr.write(`scale: ${line}\n`);

const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: '10000' },
    nodes: { type: 'string', default: '50' },
    'control-planes': { type: 'string', default: '3' },
    document: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) process.stdout.write(USAGE);
else await main();

async function main(): Promise<void> {
  const size = {
    sessions: readCount('sessions', 100),
    nodes: readCount('nodes', 1),
    planes: readCount('control-planes', 2),
  };
  await using lab = await Lab.start({ program: await ensureProgram(report), apiOnly: true, report });
  await installRecordsIn(lab.kubeconfig);
  await using simulation = new Simulation(lab, size, report);
  const outcome = await simulation.run();
  mkdirSync(RESULTS, { recursive: true });
  const path = join(RESULTS, `scale-${new Date().toISOString().replaceAll(/[:.]/g, '-')}.json`);
  writeFileSync(path, JSON.stringify(outcome, undefined, 2));
  if (values.document) writeFileSync(DOCUMENT, renderScale(outcome));
  process.stdout.write(`${table(outcome)}\nAll samples are in ${path}.\n`);
}

function readCount(name: 'sessions' | 'nodes' | 'control-planes', least: number): number {
  const count = Number(values[name]);
  if (Number.isInteger(count) && count >= least) return count;
  throw new Error(`--${name} is a whole number of at least ${least}.`);
}

function table({ figures, growth, loaded, quiet, databaseMb }: Outcome): string {
  const figure = (value: number) => value.toFixed(value < 10 ? 1 : 0);
  return [
    ...figures.map(
      ({ what, values: all }) => `${what}: p50 ${figure(quantile(all, 0.5))}, p99 ${figure(quantile(all, 0.99))}`,
    ),
    ...growth.map(
      ({ sessions, joinMs, residentMb, listMs }) =>
        `${sessions} sessions: joined in ${figure(joinMs)} ms with ${figure(residentMb)} MiB; all sandboxes listed in ${figure(listMs)} ms`,
    ),
    ...loaded.map(
      ({ asked, done, p50, p99 }) =>
        `${asked} writes a second asked, ${figure(done)} done: p50 ${figure(p50)}, p99 ${figure(p99)}`,
    ),
    ...quiet.map(([kind, rate]) => `at rest, ${kind}: ${rate.toFixed(2)} a second`),
    `database: ${figure(databaseMb)} MiB`,
  ].join('\n');
}
