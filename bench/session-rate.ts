import { AT_ONCE, type Batch, containerBatch, sessionBatch } from './batch.ts';
import { median, rate } from './measure.ts';
import { startServer } from './server.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';

/** Samples in things a second. */
interface Rates {
  readonly batch: Batch;
  readonly made: number[];
  readonly removed: number[];
}

/** Sessions made and closed a second without a pool, against containers that the engine makes and removes. */
export async function measureSessionRate({ flags, floors, signal, quick }: Setting): Promise<Row[]> {
  await using server = await startServer([...flags, '--pool-size', '0'], signal);
  const containers: Rates = { batch: containerBatch(floors), made: [], removed: [] };
  const sessions: Rates = { batch: sessionBatch(server.url, 'rate'), made: [], removed: [] };
  const count = quick ? 16 : 32;
  for (let round = 0; round < (quick ? 2 : 3); round += 1) {
    for (const { batch, made, removed } of round % 2 === 0 ? [containers, sessions] : [sessions, containers]) {
      signal.throwIfAborted();
      made.push(await rate(count, AT_ONCE, batch.make));
      removed.push(await rate(count, AT_ONCE, batch.remove));
    }
  }
  return [
    toRow(`sealed containers created and started, ${AT_ONCE} at a time`, '/s', containers.made),
    toRow(`sessions made, no pool, first result each, ${AT_ONCE} at a time`, '/s', sessions.made, [
      { floor: 'create and start', of: median(containers.made) },
    ]),
    toRow(`containers removed, ${AT_ONCE} at a time`, '/s', containers.removed),
    toRow(`sessions closed, ${AT_ONCE} at a time`, '/s', sessions.removed, [
      { floor: 'removal', of: median(containers.removed) },
    ]),
  ];
}
