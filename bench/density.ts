import { randomInt } from 'node:crypto';
import { freemem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Build } from './against/build.ts';
import { joinRows } from './against/pair.ts';
import { AT_ONCE, type Batch, containerBatch, sessionBatch } from './batch.ts';
import { Refusal } from './doors.ts';
import { interleave, median, rate, time } from './measure.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';
import { residentOf } from './use.ts';

const MIB = 2 ** 20;
/** Of the machine's memory, that is left for others. */
const RESERVE_MIB = 1024;
const CONTAINERS = 24;
const SETTLE_MS = 3000;

/** What lives at once, by its number in the batch. */
interface Filled {
  readonly live: readonly number[];
  /** Made in a second. */
  readonly speed: number;
  /** MiB of the machine that each took, if others did not free more meanwhile; one sample if any. */
  readonly each: readonly number[];
}

/** Sessions that live at once, as many as are wanted or as there is memory for, beside sealed containers alone. */
export async function measureDensity(setting: Setting): Promise<Row[]> {
  const { floors, signal, builds } = setting;
  const containers = containerBatch(floors);
  const bare = await fill(containers, CONTAINERS, signal);
  const bareRemoved = await empty(containers, bare.live);
  const found: Row[][] = [];
  for (const build of builds) found.push(await measureBuild(build, setting, { ...bare, removed: bareRemoved }));
  return [
    toRow("density: machine's memory for each sealed container", 'MiB', bare.each),
    toRow('density: sealed containers created and started', '/s', [bare.speed]),
    toRow('density: sealed containers removed', '/s', [bareRemoved]),
    ...joinRows(found),
  ].filter(({ samples }) => samples.length > 0);
}

/** The sessions of one build, which are gone at the end. */
async function measureBuild(
  build: Build,
  setting: Setting,
  bare: Filled & { readonly removed: number },
): Promise<Row[]> {
  const { signal, density } = setting;
  // They must live all at once, so none expires or comes to rest while others are made; the rest are the defaults.
  const caps = ['--max-sessions', '--max-sessions-per-owner'].flatMap((cap) => [cap, String(density)]);
  await using server = await build.start([...caps, '--hibernate-after-s', '0', '--idle-ttl-s', '86400']);
  const sessions = sessionBatch(server.url, 'dense');
  const lone = density - 1;
  await sessions.make(lone);
  await server.settled();
  const alone = await sample(() => sessions.make(lone), setting);
  const before = residentOf(server.pid);
  const full = await fill(sessions, density - 1, signal);
  await server.settled();
  const among = await sample(() => sessions.make(full.live[randomInt(full.live.length)] ?? lone), setting);
  const after = residentOf(server.pid);
  const closed = await empty(sessions, full.live);
  const growth = before === undefined || after === undefined ? [] : [(after - before) / full.live.length];
  return [
    toRow(`density: sessions that live at once, of ${density}`, 'count', [full.live.length + 1]),
    toRow(
      "density: machine's memory for each session",
      'MiB',
      full.each,
      bare.each.map((of) => ({ floor: 'container', of })),
    ),
    toRow('density: control plane, resident', 'MiB', after === undefined ? [] : [after]),
    toRow('density: control plane, growth for each session', 'MiB', growth),
    toRow('density: print(1) while one session lives', 'ms', alone),
    toRow('density: print(1) in any while all live', 'ms', among, [{ floor: 'one lives', of: median(alone) }]),
    toRow('density: sessions made', '/s', [full.speed], [{ floor: 'create and start', of: bare.speed }]),
    toRow('density: sessions closed', '/s', [closed], [{ floor: 'removal', of: bare.removed }]),
  ];
}

/** Makes so many, or as many as there is memory for and as the server allows. */
async function fill(batch: Batch, count: number, signal: AbortSignal): Promise<Filled> {
  const before = freemem();
  const live: number[] = [];
  let full = false;
  const stop = (why: string) => {
    if (!full) process.stderr.write(`bench: ${live.length} of ${count} live, then ${why}.\n`);
    full = true;
  };
  const make = async (index: number) => {
    signal.throwIfAborted();
    if (freemem() < RESERVE_MIB * MIB) stop(`less than ${RESERVE_MIB} MiB of memory were left`);
    if (full) return;
    try {
      await batch.make(index);
      live.push(index);
    } catch (error) {
      if (!(error instanceof Refusal && error.code === 'capacity_exceeded')) throw error;
      stop(error.message);
    }
  };
  const ms = await time(() => rate(count, AT_ONCE, make));
  await sleep(SETTLE_MS, undefined, { signal });
  const each = (before - freemem()) / MIB / live.length;
  return { live, speed: live.length / (ms / 1000), each: each > 0 ? [each] : [] };
}

/** Removes them; how many a second. */
async function empty(batch: Batch, live: readonly number[]): Promise<number> {
  return await rate(live.length, AT_ONCE, async (at) => {
    const index = live[at];
    if (index !== undefined) await batch.remove(index);
  });
}

async function sample(run: () => Promise<void>, { quick, signal }: Setting): Promise<number[]> {
  const { print = [] } = await interleave([{ name: 'print', run }], { rounds: quick ? 100 : 300, warmUp: 10, signal });
  return print;
}
