import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { post } from './doors.ts';
import { median, rate } from './measure.ts';
import type { Server } from './server.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';

const SERVER = fileURLToPath(new URL('tool-server.ts', import.meta.url));
const SESSION = 'tools';
/** Calls of one execution, after one that opens the connections. */
const CALLS = 150;
const AT_ONCE = 8;
/** Most milliseconds that Glovebox may add to a call. */
const TARGET_ADDED_MS = 3;
const NAMES = {
  direct: 'a tool, called by an MCP client: upstream',
  code: 'the same tool, called by code in a sandbox',
  added: 'added by Glovebox to each call',
  inTurn: 'calls of code a second, one after the other',
  threads: `calls of code a second, ${AT_ONCE} at once (tools.map)`,
  directThreads: `calls of an MCP client a second, ${AT_ONCE} at once: upstream`,
};

const EACH = `
import time, tools
echo = tools.upstream.echo
echo(text="x")
took = []
for _ in range(${CALLS}):
    began = time.perf_counter()
    echo(text="x")
    took.append((time.perf_counter() - began) * 1000)
print(took)
`;
const THREADS = `
import time, tools
items = [{"text": "x"}] * ${CALLS}
tools.map(tools.upstream.echo, items[:${AT_ONCE}], limit=${AT_ONCE})
began = time.perf_counter()
tools.map(tools.upstream.echo, items, limit=${AT_ONCE})
print([${CALLS} / (time.perf_counter() - began)])
`;

type Samples = Record<keyof typeof NAMES, number[]>;

/** Calls of tools from code, against an MCP client that calls the same server. */
export async function measureTools({ builds, quick, signal }: Setting): Promise<Row[]> {
  const scratch = mkdtempSync(join(tmpdir(), 'glovebox-tools-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rmSync(scratch, { recursive: true, force: true }));
  const upstream = spawn(process.execPath, [SERVER], { stdio: ['pipe', 'pipe', 'inherit'] });
  stack.defer(() => end(upstream));
  const url = await firstLine(upstream);
  const file = join(scratch, 'tools.json');
  const entry = { url, approve: 'never', default: true, max_calls: 1000, rate: 100_000 };
  writeFileSync(file, JSON.stringify({ mcpServers: { upstream: entry } }));
  const server = stack.use(await builds[0].start(['--tools', file]));
  const client = stack.adopt(await connect(url), (connected) => connected.close());
  const samples: Samples = { direct: [], code: [], added: [], inTurn: [], threads: [], directThreads: [] };
  for (let round = -1; round < (quick ? 6 : 20); round += 1) {
    signal.throwIfAborted();
    const measured = await measureRound(server, client, round % 2 === 0);
    if (round < 0) continue;
    samples.direct.push(...measured.direct);
    samples.code.push(...measured.code);
    samples.added.push(median(measured.code) - median(measured.direct));
    samples.inTurn.push(CALLS / (sum(measured.code) / 1000));
    samples.threads.push(...(await run(server, THREADS)));
    samples.directThreads.push(await rate(CALLS, AT_ONCE, () => call(client)));
  }
  return toRows(samples);
}

/** Both in one round, so that whatever else the machine does meets both; in turns the one or the other first. */
async function measureRound(server: Server, client: Client, isDirectFirst: boolean) {
  const before = isDirectFirst ? await callEach(client) : undefined;
  const code = await run(server, EACH);
  return { direct: before ?? (await callEach(client)), code };
}

function toRows({ direct, code, added, inTurn, threads, directThreads }: Samples): Row[] {
  const floor = { floor: 'upstream', of: median(direct) };
  return [
    toRow(NAMES.direct, 'ms', direct),
    toRow(NAMES.code, 'ms', code, [floor]),
    { ...toRow(NAMES.added, 'ms', added), atMost: TARGET_ADDED_MS },
    toRow(NAMES.inTurn, '/s', inTurn),
    toRow(NAMES.directThreads, '/s', directThreads),
    toRow(NAMES.threads, '/s', threads, [{ floor: 'upstream', of: median(directThreads) }]),
  ];
}

async function connect(url: string): Promise<Client> {
  const client = new Client({ name: 'bench', version: '1' }, { versionNegotiation: { mode: 'auto' } });
  await client.connect(new StreamableHTTPClientTransport(new URL(url)));
  return client;
}

const call = (client: Client) => client.callTool({ name: 'echo', arguments: { text: 'x' } });

async function callEach(client: Client): Promise<number[]> {
  await call(client);
  const took: number[] = [];
  for (let at = 0; at < CALLS; at += 1) {
    const began = performance.now();
    await call(client);
    took.push(performance.now() - began);
  }
  return took;
}

async function run(server: Server, code: string): Promise<number[]> {
  const { stdout } = await post(server.url, { code, session_id: SESSION });
  return JSON.parse(String(stdout)) as number[];
}

async function firstLine({ stdout }: ChildProcess): Promise<string> {
  if (!stdout) throw new Error('The upstream has no output.');
  const [line] = (await once(createInterface(stdout), 'line')) as [string];
  return line;
}

async function end(child: ChildProcess): Promise<void> {
  const exited = once(child, 'exit');
  child.stdin?.end();
  await exited;
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
