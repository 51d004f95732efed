import { joinRows } from './against/pair.ts';
import { AT_ONCE, type Batch, containerBatch, sessionBatch } from './batch.ts';
import { median, rate } from './measure.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';

/** Samples in things a second. */
interface Rates {
  readonly batch: Batch;
  readonly made: number[];
  readonly removed: number[];
}

/** Sessions made and closed a second without a pool, against containers that the engine makes and removes. */
export async function measureSessionRate({ builds, floors, signal, quick }: Setting): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const containers = toRates(containerBatch(floors));
  const sessions: Rates[] = [];
  for (const build of builds) {
    const { url } = stack.use(await build.start(['--pool-size', '0']));
    sessions.push(toRates(sessionBatch(url, 'rate')));
  }
  const all = [containers, ...sessions];
  const count = quick ? 16 : 32;
  for (let round = 0; round < (quick ? 2 : 3); round += 1) {
    for (const { batch, made, removed } of round % 2 === 0 ? all : all.toReversed()) {
      signal.throwIfAborted();
      made.push(await rate(count, AT_ONCE, batch.make));
      removed.push(await rate(count, AT_ONCE, batch.remove));
    }
  }
  return [
    toRow(`sealed containers created and started, ${AT_ONCE} at a time`, '/s', containers.made),
    toRow(`containers removed, ${AT_ONCE} at a time`, '/s', containers.removed),
    ...joinRows(sessions.map((rates) => toRows(rates, containers))),
  ];
}

function toRates(batch: Batch): Rates {
  return { batch, made: [], removed: [] };
}

function toRows({ made, removed }: Rates, containers: Rates): Row[] {
  return [
    toRow(`sessions made, no pool, first result each, ${AT_ONCE} at a time`, '/s', made, [
      { floor: 'create and start', of: median(containers.made) },
    ]),
    toRow(`sessions closed, ${AT_ONCE} at a time`, '/s', removed, [
      { floor: 'removal', of: median(containers.removed) },
    ]),
  ];
}
