import { parseArgs } from 'node:util';
import { writeDocument } from './document.ts';
import { ONLY_IF_NAMED, PARTS } from './parts.ts';
import { load, type Results, save } from './results.ts';
import { openSetting } from './setting.ts';
import { renderTable } from './table.ts';

const USAGE = `Usage: npm run bench -- [--quick] [--image slim|data] [--only PART,…] [--density N] [--against REF] [--from FILE] [--document]

Measures Glovebox against what the machine and the engine alone take for the same.
  --quick     fewer samples
  --image     sandbox image, slim by default
  --only      some parts: ${[...PARTS.keys()].join(', ')}, those with a cluster only if they are named
  --density   sessions that are to live at once: 300 by default, 100 where it is to be quick
  --against   builds that commit, too, and compares each row with what it takes there
  --from      measures nothing, and shows the results of an earlier run
  --document  writes table and plot into docs/
`;
const DENSITY = { thorough: 300, quick: 100 };

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
      only: { type: 'string', default: [...PARTS.keys()].filter((name) => !ONLY_IF_NAMED.includes(name)).join() },
      density: { type: 'string' },
      against: { type: 'string' },
      from: { type: 'string' },
      document: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  const { quick, image, against } = values;
  const density = Number(values.density ?? (quick ? DENSITY.quick : DENSITY.thorough));
  if (!Number.isInteger(density) || density < 2) throw new Error('--density is a whole number of at least 2.');
  const results = values.from
    ? load(values.from)
    : await measure(values.only.split(','), { quick, image, density, against, signal: stop.signal });
  process.stdout.write(`\n${renderTable(results)}\n`);
  if (!values.from) process.stderr.write(`All samples and the plot are beside ${save(results)}.\n`);
  if (values.document) writeDocument(results);
}

async function measure(names: readonly string[], options: Parameters<typeof openSetting>[0]): Promise<Results> {
  const unknown = names.find((name) => !PARTS.has(name));
  if (unknown !== undefined) throw new Error(`There is no part ${unknown}.`);
  const started = performance.now();
  await using setting = await openSetting(options);
  const rows: Results['rows'][number][] = [];
  for (const name of names) {
    const begun = performance.now();
    for (const part of PARTS.get(name) ?? []) {
      try {
        rows.push(...(await part(setting)));
      } catch (error) {
        // What the others measure is still worth having.
        stop.signal.throwIfAborted();
        process.exitCode = 1;
        process.stderr.write(`bench: ${name}: ${(error as Error).stack}\n`);
      }
    }
    process.stderr.write(`${name}: ${secondsSince(begun)} s\n`);
  }
  return { facts: { ...setting.facts, seconds: secondsSince(started) }, rows };
}

function secondsSince(start: number): number {
  return Math.round((performance.now() - start) / 1000);
}
