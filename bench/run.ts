import { parseArgs } from 'node:util';
import { measureFairness } from './fairness.ts';
import { measureHibernation } from './hibernate.ts';
import { measureInstalls } from './install.ts';
import { measureMemory } from './memory.ts';
import { measureNewSessions } from './new-session.ts';
import { measurePreload } from './preload.ts';
import { measurePrints } from './print.ts';
import { save } from './results.ts';
import { openSetting, type Setting } from './setting.ts';
import type { Row } from './table.ts';
import { renderTable } from './table.ts';
import { measureThroughput } from './throughput.ts';

const USAGE = `Usage: npm run bench -- [--quick] [--image slim|data]

Measures Glovebox against what the machine and the engine alone take for the same.
  --quick   fewer samples
  --image   sandbox image, slim by default
`;

const PARTS: readonly [name: string, measure: (setting: Setting) => Promise<Row[]>][] = [
  ['print(1) by every way in', measurePrints],
  ['imports', measurePreload],
  ['new sessions', measureNewSessions],
  ['fairness', measureFairness],
  ['hibernated sessions', measureHibernation],
  ['memory', measureMemory],
  ['throughput', measureThroughput],
  ['installations', measureInstalls],
];

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => stop.abort(new Error(`Stopped by ${signal}; cleaning up.`)));
}

try {
  await main();
} catch (error) {
  const { message, stack } = error as Error;
  process.stderr.write(`bench: ${stop.signal.aborted ? (stop.signal.reason as Error).message : (stack ?? message)}\n`);
  process.exitCode = 1;
}
// Connections that are kept open would hold the process.
process.exit();

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      image: { type: 'string', default: 'slim' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  const started = performance.now();
  await using setting = await openSetting({ ...values, signal: stop.signal });
  const rows: Row[] = [];
  for (const [name, measure] of PARTS) {
    process.stderr.write(`Measuring ${name} …\n`);
    try {
      rows.push(...(await measure(setting)));
    } catch (error) {
      // What the other parts measure is still worth having.
      stop.signal.throwIfAborted();
      process.exitCode = 1;
      process.stderr.write(`bench: ${name}: ${(error as Error).stack}\n`);
    }
  }
  process.stdout.write(`\n${renderTable(setting.facts, rows)}\n`);
  const path = save(setting.facts, rows);
  process.stderr.write(`Took ${Math.round((performance.now() - started) / 1000)} s; all samples are in ${path}.\n`);
}
