import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { unlessAborted } from '../src/lib/unless-aborted.ts';
import { sessionBatch } from './batch.ts';
import { type Cluster, openCluster } from './cluster.ts';
import { closeSession, openRest, post } from './doors.ts';
import { interleave, median, rate, type Samples } from './measure.ts';
import { newSession } from './new-session.ts';
import type { Server } from './server.ts';
import type { Setting } from './setting.ts';
import { type Comparison, type Row, toRow } from './table.ts';
import { proportionalOf, residentOf } from './use.ts';

const MEGABYTES = 50;
const BYTES = MEGABYTES * 1_000_000;
const SESSIONS_AT_ONCE = 100;
const SESSIONS_FOR_MEMORY = 5;
const SETTLE_MS = 1500;
/** Of Docker. */
const TARGETS = { pooled: 1.3, print: 1.5 };
/** Room for all sessions, which stay as they are. */
const ROOM = ['--max-sessions', '--max-sessions-per-owner'].flatMap((cap) => [cap, `${SESSIONS_AT_ONCE + 50}`]);
const FLAGS = [...ROOM, '--hibernate-after-s', '0'];

/** One build on one engine, with and without a pool. */
interface Engine {
  readonly name: string;
  readonly pooled: Server;
  readonly cold: Server;
}

/** Sessions in a cluster beside sessions on this machine's own engine, by the same build in one run. */
export async function measureKubernetes(setting: Setting): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const engines = await startEngines(setting, stack);
  return [
    ...(await measureResults(engines, setting)),
    ...(await measureBytes(engines, setting)),
    ...(await measureMemory(engines)),
  ];
}

/** The same for many sessions that live at once. */
export async function measureKubernetesMany(setting: Setting): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  return await measureMany(await startEngines(setting, stack), setting);
}

async function startEngines(setting: Setting, stack: AsyncDisposableStack): Promise<Engine[]> {
  const cluster = stack.use(await openCluster(String(setting.facts['image']).includes('data') ? 'data' : 'slim'));
  return [await startEngine('Docker', setting, stack), await startEngine('Kubernetes', setting, stack, cluster)];
}

async function startEngine(
  name: string,
  { builds: [own] }: Setting,
  stack: AsyncDisposableStack,
  cluster?: Cluster,
): Promise<Engine> {
  const { env = {}, flags: place = [] } = cluster ?? {};
  const start = (flags: readonly string[]) => own.start([...FLAGS, ...place, ...flags], env);
  return { name, pooled: stack.use(await start([])), cold: stack.use(await start(['--pool-size', '0'])) };
}

/** First results of new sessions, and calls in an open one. */
async function measureResults(engines: readonly Engine[], { quick, signal }: Setting): Promise<Row[]> {
  const settle = async () => {
    for (const { pooled } of engines) await pooled.settled();
  };
  const news = engines.flatMap(({ name, pooled, cold }) => [
    newSession(`new session, first result: pool ready: ${name}`, pooled, settle),
    newSession(`new session, first result: no pool: ${name}`, cold, settle),
  ]);
  const samples = await interleave(news, { rounds: quick ? 4 : 10, warmUp: 1, signal });
  const prints = engines.map(({ name, pooled }) => ({
    name: `print(1): ${name}`,
    run: () => openRest(pooled.url).print(),
  }));
  // Until client and servers are compiled.
  await interleave(prints, { rounds: quick ? 50 : 300, warmUp: 0, signal });
  await settle();
  Object.assign(samples, await interleave(prints, { rounds: quick ? 50 : 200, warmUp: 10, signal }));
  return toPairs(samples, engines, 'ms', [
    ['new session, first result: pool ready', TARGETS.pooled],
    ['new session, first result: no pool'],
    ['print(1)', TARGETS.print],
  ]);
}

/** A file of random bytes both ways. */
async function measureBytes(engines: readonly Engine[], { quick, signal }: Setting): Promise<Row[]> {
  const body = crypto.getRandomValues(new Uint8Array(BYTES).subarray(0, 65_536));
  const file = Buffer.alloc(BYTES, body);
  const subjects = engines.flatMap(({ name, pooled }) => {
    const url = `${pooled.url}/sessions/bytes/files/data`;
    return [
      { name: `${MEGABYTES} MB file: upload: ${name}`, run: () => exchange(url, { method: 'PUT', body: file }, 0) },
      { name: `${MEGABYTES} MB file: download: ${name}`, run: () => exchange(url, {}, BYTES) },
    ];
  });
  for (const { name, run } of subjects) if (name.includes('upload')) await run();
  const samples = await interleave(subjects, { rounds: quick ? 3 : 6, warmUp: 1, signal });
  for (const { pooled } of engines) await closeSession(pooled.url, 'bytes');
  const rates = Object.fromEntries(
    Object.entries(samples).map(([name, list]) => [name, list.map((ms) => MEGABYTES / (ms / 1000))]),
  );
  return toPairs(rates, engines, 'MB/s', [[`${MEGABYTES} MB file: upload`], [`${MEGABYTES} MB file: download`]]);
}

async function exchange(url: string, request: RequestInit, expected: number): Promise<void> {
  const response = await fetch(url, request);
  const { byteLength } = await response.arrayBuffer();
  if (!response.ok || (expected > 0 && byteLength !== expected)) {
    throw new Error(`A transfer was answered with ${response.status} and ${byteLength} bytes.`);
  }
}

/** What a session takes that has run something and now waits, where the nodes are this machine. */
async function measureMemory(engines: readonly Engine[]): Promise<Row[]> {
  const rows: Samples = {};
  const names = Array.from({ length: SESSIONS_FOR_MEMORY }, (_, at) => `memory-${at}`);
  for (const { name, cold } of engines) {
    const before = residentOf(cold.pid) ?? 0;
    const spaces: string[] = [];
    const code = 'import os; print(os.readlink("/proc/self/ns/pid"))';
    for (const session of names)
      spaces.push(String((await post(cold.url, { code, session_id: session })).stdout).trim());
    await sleep(SETTLE_MS);
    const found = spaces.map(useOfSpace).filter((use) => use !== undefined);
    rows[`idle session: proportional set of its processes: ${name}`] = found.map(({ processes }) => processes);
    rows[`idle session: engine's own process beside it: ${name}`] = found.map(({ keeper }) => keeper);
    rows[`control plane: growth for each session: ${name}`] = [((residentOf(cold.pid) ?? 0) - before) / names.length];
    for (const session of names) await closeSession(cold.url, session);
  }
  return toPairs(rows, engines, 'MiB', [
    ['idle session: proportional set of its processes'],
    ["idle session: engine's own process beside it"],
    ['control plane: growth for each session'],
  ]);
}

/** MiB of the processes in a process namespace, and of the parent of its first one; undefined if it is not here. */
function useOfSpace(space: string): { processes: number; keeper: number } | undefined {
  const pids = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && spaceOf(pid) === space);
  const all = pids.map((pid) => proportionalOf(Number(pid)) ?? 0);
  const first = pids.find((pid) => /^NSpid:.*\t1$/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')));
  if (first === undefined) return undefined;
  const parent = Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${first}/status`, 'utf8'))?.[1]);
  return { processes: all.reduce((sum, mib) => sum + mib, 0), keeper: proportionalOf(parent) ?? 0 };
}

function spaceOf(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return undefined;
  }
}

/** So many sessions that live at once, all asked for together. */
async function measureMany(engines: readonly Engine[], { quick, signal }: Setting): Promise<Row[]> {
  const samples: Samples = {};
  const count = quick ? SESSIONS_AT_ONCE / 4 : SESSIONS_AT_ONCE;
  for (const { name, cold } of engines) {
    const { make, remove } = sessionBatch(cold.url, 'many');
    const all = async (work: (index: number) => Promise<void>) => [
      await unlessAborted(rate(count, count, work), signal),
    ];
    samples[`${count} sessions asked for at once, first result each: ${name}`] = await all(make);
    samples[`a call to each of ${count} sessions, all at once: ${name}`] = await all(make);
    samples[`${count} sessions closed at once: ${name}`] = await all(remove);
  }
  return toPairs(samples, engines, '/s', [
    [`${count} sessions asked for at once, first result each`],
    [`a call to each of ${count} sessions, all at once`],
    [`${count} sessions closed at once`],
  ]);
}

/** A row for each engine and figure; the later engine's beside the first one's. */
function toPairs(
  samples: Samples,
  [first, ...others]: readonly Engine[],
  unit: Row['unit'],
  figures: readonly (readonly [string, target?: number])[],
): Row[] {
  return figures.flatMap(([what, target]) => {
    const of = (engine: Engine | undefined) => samples[`${what}: ${engine?.name}`] ?? [];
    const comparison: Comparison = { floor: String(first?.name), of: median(of(first)), ...(target ? { target } : {}) };
    return [
      toRow(`${what}: ${first?.name}`, unit, of(first)),
      ...others.map((engine) => toRow(`${what}: ${engine.name}`, unit, of(engine), [comparison])),
    ].filter((row) => row.samples.length > 0);
  });
}
