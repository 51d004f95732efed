import { readFileSync } from 'node:fs';
import { Collector } from '../test/support/collector.ts';
import { openRest } from './doors.ts';
import { median, rate } from './measure.ts';
import { parseStat } from './processor.ts';
import type { Server } from './server.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';

const SESSIONS = 8;
/** By each server until it is compiled, and then in turn, in blocks: short ones, since a machine is not always as fast. */
const WARM_UP = { quick: 400, thorough: 1600 };
const BLOCKS = { quick: 8, thorough: 60 };
const BLOCK = 96;
/** Times what the same takes without traces. */
const TARGET = 1.03;

/** A server with or without reports, and what its blocks of calls took. */
interface Side {
  readonly name: string;
  readonly server: Server;
  readonly wall: number[];
  readonly processor: number[];
}

/** What traces and metrics cost the calls of several sessions at once, with a collector on this machine. */
export async function measureTelemetry({ builds: [own], quick, signal }: Setting): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const collector = stack.use(await Collector.start());
  const start = async (name: string, env: Readonly<Record<string, string>>): Promise<Side> => {
    const server = stack.use(await own.start(['--hibernate-after-s', '0'], env));
    return { name, server, wall: [], processor: [] };
  };
  const off = await start('no telemetry', {});
  const on = await start('traces and metrics', { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  const size = quick ? 'quick' : 'thorough';
  for (const side of [off, on]) await press(side, WARM_UP[size]);
  for (const { wall, processor } of [off, on]) for (const list of [wall, processor]) list.splice(0);
  for (let block = 0; block < BLOCKS[size]; block += 1) {
    signal.throwIfAborted();
    // A B B A: whatever goes up or down for a while meets both alike.
    const order = [on, off];
    for (const side of block % 2 === 0 ? order.toReversed() : order) await press(side, BLOCK);
  }
  return (['wall', 'processor'] as const).flatMap((kind) =>
    [off, on].map((side) => {
      const what = `a call of ${SESSIONS} sessions at once: ${kind === 'wall' ? 'time' : "server's processor time"}: ${side.name}`;
      const compared = side === on ? [{ floor: off.name, of: median(off[kind]), target: TARGET }] : [];
      return toRow(what, 'ms', side[kind], compared);
    }),
  );
}

/** Makes so many calls, as many at once as there are sessions. */
async function press({ server, wall, processor }: Side, calls: number): Promise<void> {
  const { print } = openRest(server.url);
  const before = processorMs(server);
  const perSecond = await rate(calls, SESSIONS, (at) => print(`load-${at % SESSIONS}`));
  wall.push(1000 / perSecond);
  processor.push((processorMs(server) - before) / calls);
}

function processorMs({ pid }: Server): number {
  return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8')).ms;
}
