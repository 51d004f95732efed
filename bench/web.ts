import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { startBareProxy } from './bare-proxy.ts';
import { post } from './doors.ts';
import { environment } from './environment.ts';
import { median } from './measure.ts';
import { run } from './programs.ts';
import type { Server } from './server.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';

const UPSTREAM = fileURLToPath(new URL('web-upstream.ts', import.meta.url));
const CLIENT = new URL('web-client.py', import.meta.url);
/** An address of this host's loopback. It is not the sandbox's own, which needs no proxy. */
const HOST = '127.0.0.2';
const SESSION = 'web';
const REQUESTS = 30;
const MEGABYTES = 100;
/** Most milliseconds that Glovebox may add to the time to the first byte. */
const TARGET_ADDED_MS = 3;

/** What the client prints, by the kind of its requests: through a proxy that sees them, or end to end. */
type Printed = Record<'plain' | 'ends' | 'down' | 'endsDown' | 'up', number[]>;
type Ways = Record<'direct' | 'bare' | 'glovebox', Printed>;

/** Requests of code in a sandbox, against the same program outside: without a proxy, and through a bare one. */
export async function measureWeb({ builds, floors, python, quick, signal }: Setting): Promise<Row[]> {
  const scratch = mkdtempSync(join(tmpdir(), 'glovebox-web-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rmSync(scratch, { recursive: true, force: true }));
  const port = await startUpstream(stack);
  const bare = stack.use(await startBareProxy(scratch));
  const flags = ['--egress', `${HOST}:${port}`, '--egress-private', '127.0.0.0/8', '--egress-mb', '100000'];
  const server = stack.use(await builds[0].start(flags));
  const container = await floors.createAndStart();
  stack.defer(() => container.remove({ force: true }));
  const client = readFileSync(CLIENT, 'utf8').replace(
    /^# In place of this line.*$/m,
    `HOST, PORT, REQUESTS, MEGABYTES = "${HOST}", ${port}, ${REQUESTS}, ${MEGABYTES}`,
  );
  const ways: (readonly [keyof Ways, () => Promise<Printed>])[] = [
    ['direct', () => runOutside(python, client)],
    ['bare', () => runOutside(python, client, bare.url)],
    ['glovebox', () => runInside(server, client)],
  ];
  const samples: Ways = { direct: empty(), bare: empty(), glovebox: empty() };
  const execs = { in: [] as number[], out: [] as number[] };
  const added = { plain: [] as number[], ends: [] as number[] };
  for (let round = -1; round < (quick ? 4 : 10); round += 1) {
    signal.throwIfAborted();
    const found: Partial<Ways> = {};
    // All in one round, in turns forwards and backwards, so that whatever else the machine does meets all alike.
    for (const [way, measure] of round % 2 === 0 ? ways : ways.toReversed()) found[way] = await measure();
    const exec = await floors.execRates(container, MEGABYTES * 1_000_000);
    if (round < 0) continue;
    for (const way of ['in', 'out'] as const) execs[way].push(exec[way]);
    for (const [way] of ways) addTo(samples[way], found[way] ?? empty());
    for (const kind of ['plain', 'ends'] as const)
      added[kind].push(median(found.glovebox?.[kind] ?? []) - median(found.direct?.[kind] ?? []));
  }
  return toRows(samples, added, execs);
}

const empty = (): Printed => ({ plain: [], ends: [], down: [], endsDown: [], up: [] });

function addTo(all: Printed, more: Printed): void {
  for (const kind of Object.keys(all) as (keyof Printed)[]) all[kind].push(...more[kind]);
}

function toRows(
  { direct, bare, glovebox }: Ways,
  added: Record<'plain' | 'ends', number[]>,
  execs: Record<'in' | 'out', number[]>,
): Row[] {
  const first = (name: string, kind: 'plain' | 'ends') => [
    toRow(`${name}, outside`, 'ms', direct[kind]),
    toRow(`${name}, outside, through a bare proxy`, 'ms', bare[kind]),
    toRow(`${name}, from a sandbox`, 'ms', glovebox[kind], [{ floor: 'bare proxy', of: median(bare[kind]) }]),
    { ...toRow(`${name}, added by Glovebox and the sandbox`, 'ms', added[kind]), atMost: TARGET_ADDED_MS },
  ];
  const rate = (name: string, kind: 'down' | 'endsDown' | 'up') => {
    const [proxy, exec] = [median(bare[kind]), median(execs[kind === 'up' ? 'out' : 'in'])];
    return [
      toRow(`${name}, outside, through a bare proxy`, 'MB/s', bare[kind]),
      toRow(`${name}, from a sandbox`, 'MB/s', glovebox[kind], [
        { floor: 'bare proxy', of: proxy },
        { floor: 'exec alone', of: exec },
        // Where both use all processors, whatever does both is at best as fast as one after the other.
        { floor: 'both, one after the other', of: 1 / (1 / proxy + 1 / exec) },
      ]),
    ];
  };
  return [
    ...first('first byte over HTTP', 'plain'),
    ...first('first byte end to end (CONNECT)', 'ends'),
    toRow(`${MEGABYTES} MB through the engine's exec alone: in`, 'MB/s', execs.in),
    toRow(`${MEGABYTES} MB through the engine's exec alone: out`, 'MB/s', execs.out),
    ...rate(`${MEGABYTES} MB down over HTTP`, 'down'),
    ...rate(`${MEGABYTES} MB down end to end (CONNECT)`, 'endsDown'),
    ...rate(`${MEGABYTES} MB up over HTTP`, 'up'),
  ];
}

async function runOutside(python: string, client: string, proxy?: string): Promise<Printed> {
  const { http_proxy: _, HTTP_PROXY: __, ...others } = environment();
  const env = proxy === undefined ? others : { ...others, http_proxy: proxy };
  return JSON.parse(await run(python, ['-c', client], env)) as Printed;
}

async function runInside(server: Server, code: string): Promise<Printed> {
  const { stdout, stderr } = (await post(server.url, { code, session_id: SESSION })) as Record<string, string>;
  if (!stdout) throw new Error(`The code in the sandbox printed nothing: ${stderr}`);
  return JSON.parse(stdout) as Printed;
}

async function startUpstream(stack: AsyncDisposableStack): Promise<number> {
  const child = spawn(process.execPath, [UPSTREAM], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  stack.defer(async () => {
    child.stdin.end();
    await exited;
  });
  const [port] = (await once(createInterface(child.stdout), 'line')) as [string];
  return Number(port);
}
