import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startServer } from '../../bench/server.ts';
import { CATALOG, type Entry } from './catalog.ts';
import { DrivenClient } from './driven.ts';
import { STEPS, type Step, silence } from './steps.ts';
import { type Row, renderTable } from './table.ts';

const USAGE = `Usage: npm run clients -- [--silence] [--only NAME,…] [--document]

Installs stock MCP clients in pinned versions into the user's cache, drives each against a Glovebox of this run's own,
with no model in between, and prints what each can do.
  --silence   also a program that is silent for 70 s, with the client as it is and as its recipe sets it
  --only      clients whose names have one of these in them
  --document  writes the table into docs/clients.md
`;
const DOCUMENT = new URL('../../docs/clients.md', import.meta.url);
/** The one block of the document that is a table. */
const BLOCK = /(?<=<!-- npm run clients -->\n).*?(?=<!-- end -->)/s;
const STEP_LIMIT_MS = 90_000;
const SILENCE_LIMIT_MS = 160_000;
/** Clients at once: two processors, and libraries that take seconds to import. */
const AT_ONCE = 5;

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort(new Error(signal)));

const { values } = parseArgs({
  options: {
    silence: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    document: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) process.stdout.write(USAGE);
else await main();
process.exit();

async function main(): Promise<void> {
  const wanted = CATALOG.filter(({ name }) => values.only.split(',').some((part) => name.includes(part)));
  const stateDir = mkdtempSync(join(tmpdir(), 'glovebox-clients-'));
  const env = { GLOVEBOX_STATE_DIR: stateDir };
  await using server = await startServer(['--image', 'data'], stop.signal, { env });
  const remove = () => rmSync(stateDir, { recursive: true, force: true });
  process.once('exit', remove); // Once the server has ended.
  const rows: Row[] = [];
  const queue = [...wanted.entries()];
  const work = async () => {
    for (let next = queue.shift(); next && !stop.signal.aborted; next = queue.shift()) {
      const [index, entry] = next;
      rows[index] = await drive(entry, `${server.url}/mcp?session=client-${index}`);
      process.stderr.write(`${entry.name}: ${JSON.stringify(rows[index].outcomes)}\n`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const table = renderTable(rows, CATALOG.length);
  process.stdout.write(table);
  if (values.document) {
    const text = readFileSync(DOCUMENT, 'utf8');
    writeFileSync(
      DOCUMENT,
      text.replace(BLOCK, () => table),
    );
  }
}

async function drive(entry: Entry, url: string): Promise<Row> {
  const outcomes: Record<string, string> = {};
  const start = async (mode: 'default' | 'patient') => {
    const { command, cwd } = await entry.install(url, mode);
    const client = new DrivenClient(command, cwd);
    await client.start();
    return client;
  };
  try {
    await using client = await start('default');
    for (const [name, step] of Object.entries(STEPS)) {
      const lack = entry.lacks[name];
      outcomes[name] = lack ? `- ${lack}` : await outcomeOf(step, client, STEP_LIMIT_MS);
    }
    if (values.silence) {
      await using patient = await start('patient');
      const both = [client, patient].map((one) => outcomeOf(silence, one, SILENCE_LIMIT_MS));
      [outcomes['silence'], outcomes['patient']] = (await Promise.all(both)) as [string, string];
    }
    return { name: entry.name, outcomes };
  } catch (error) {
    return { name: entry.name, outcomes, skipped: (error as Error).message };
  }
}

async function outcomeOf(step: Step, client: DrivenClient, limitMs: number): Promise<string> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error('no answer')), limitMs);
  try {
    const outcome = await Promise.race([step(client), late]);
    return outcome === true ? 'yes' : outcome;
  } catch (error) {
    return (error as Error).message;
  } finally {
    clearTimeout(timer);
  }
}
