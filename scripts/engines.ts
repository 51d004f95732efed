import { parseArgs } from 'node:util';
import { CATALOG, MACHINE_ENGINE } from './engines/catalog.ts';
import { removeAbandoned } from './engines/namespace.ts';
import { writePage } from './engines/page.ts';
import { type EngineResult, readResults, saveResult } from './engines/results.ts';
import { SUITE_NAMES } from './engines/suites.ts';
import { holdEngines, tryEngine } from './engines/try-engine.ts';
import { writeHostileTable } from './hostile-table.ts';

const USAGE = `Usage: npm run engines -- [NAME…] [--suites ${SUITE_NAMES.join(',')}] [--build] [--check] [--hold] [--list]

Sets each engine up from Debian's packages in namespaces of its own, runs the tests of all that an engine must do on it,
removes it, and writes docs/engines.md. "docker" is the engine of this machine, used as it is. Without names: all of them. Needs root, on Debian. The roots of Debian's releases
(0.6 GB each) are kept in ~/.cache/glovebox-engines, and so is what no release has: docker29 is built by Go, once, in
five minutes of processor time.
  --suites  only these subjects; the page keeps what it has of the others
  --build   have each engine build the sandbox image, instead of loading it from the machine's own engine
  --check   write nothing: only the exit status tells
  --hold    run nothing: print DOCKER_HOST of each, and keep them until they are interrupted
  --list    names of the engines
`;

const report = (line: string) => void process.stderr.write(`${line}\n`);

const ENGINES = [MACHINE_ENGINE, ...CATALOG];

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.once(signal, () => stop.abort(new Error(signal)));

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    suites: { type: 'string', default: SUITE_NAMES.join(',') },
    build: { type: 'boolean', default: false },
    check: { type: 'boolean', default: false },
    hold: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

if (values.help) process.stdout.write(USAGE);
else if (values.list) for (const { name, title } of ENGINES) process.stdout.write(`${name.padEnd(10)} ${title}\n`);
else process.exitCode = (await main()) ? 0 : 1;
// Connections that are kept open would hold the process.
process.exit();

/** Returns whether each engine did what the catalog expects of it. */
async function main(): Promise<boolean> {
  const unknown = positionals.filter((name) => !ENGINES.some((entry) => entry.name === name));
  if (unknown.length > 0) throw new Error(`No such engine: ${unknown.join(', ')}. See --list.`);
  const suites = SUITE_NAMES.filter((name) => values.suites.split(',').includes(name));
  await removeAbandoned();
  const wanted = ENGINES.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
  if (values.hold) {
    await holdEngines(wanted, report, stop.signal);
    return true;
  }
  let allAsExpected = true;
  const onSeen = values.check ? () => {} : saveResult;
  for (const entry of wanted) {
    if (stop.signal.aborted) break;
    try {
      const result = await tryEngine(entry, { suites, builds: values.build, report, signal: stop.signal, onSeen });
      onSeen(result);
      allAsExpected &&= isAsExpected(result);
    } catch (error) {
      report(`${entry.name}: ${stop.signal.aborted ? 'stopped' : error instanceof Error ? error.message : error}`);
      allAsExpected = false;
    }
  }
  if (!values.check) {
    writePage(readResults());
    writeHostileTable(readResults());
  }
  return allAsExpected && !stop.signal.aborted;
}

/**
 * An engine that the catalog has as refused is refused, and one that it has as allowed lacks something. On any other, and
 * on that, every line that applies held.
 */
function isAsExpected({ name, refused, missing, suites }: EngineResult): boolean {
  const entry = ENGINES.find((one) => one.name === name);
  if (Boolean(entry?.allowed) !== (missing !== undefined)) return false;
  if (entry?.refused || refused !== undefined) return entry?.refused === true && refused !== undefined;
  return Object.values(suites).every((lines) => lines.every(({ outcome }) => outcome !== 'failed'));
}
