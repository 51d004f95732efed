import { readFileSync } from 'node:fs';
import { Collector } from '../test/support/collector.ts';
import { openRest } from './doors.ts';
import { rate } from './measure.ts';
import { parseStat } from './processor.ts';
import type { Server } from './server.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';

const SESSIONS = 8;
/** Pairs of servers, one after the other: two processes of one program differ by more than what is looked for. */
const PAIRS = { quick: 1, thorough: 5 };
/** Calls to each server until it is compiled. */
const WARM_UP = 1600;
/** Blocks of calls to each in turn: short ones, since a machine is not always as fast. */
const BLOCKS = { quick: 8, thorough: 24 };
const BLOCK = 96;
/** Times what the same takes without traces. */
const TARGET = 1.03;
const CALL = `a call of ${SESSIONS} sessions at once`;

/** What blocks of calls took of a server, in milliseconds a call. */
interface Blocks {
  readonly wall: number[];
  readonly processor: number[];
}

/** What traces and metrics cost the calls of several sessions at once, with a collector on this machine. */
export async function measureTelemetry(setting: Setting): Promise<Row[]> {
  await using collector = await Collector.start();
  const off: Blocks = { wall: [], processor: [] };
  const on: Blocks = { wall: [], processor: [] };
  for (let pair = 0; pair < PAIRS[sizeOf(setting)]; pair += 1) await measurePair(setting, collector.url, { off, on });
  const times = on.wall.map((ms, block) => ms / (off.wall[block] ?? Number.NaN));
  return [
    toRow(`${CALL}: time: no telemetry`, 'ms', off.wall),
    toRow(`${CALL}: time: traces and metrics`, 'ms', on.wall),
    { ...toRow(`${CALL}: time: traces and metrics to none, block by block`, 'x', times), atMost: TARGET },
    toRow(`${CALL}: server's processor time: no telemetry`, 'ms', off.processor),
    toRow(`${CALL}: server's processor time: traces and metrics`, 'ms', on.processor),
  ];
}

/** Starts one server without reports and one with them, and calls both in turn. */
async function measurePair(
  setting: Setting,
  collector: string,
  { off, on }: Readonly<Record<'off' | 'on', Blocks>>,
): Promise<void> {
  const { builds, signal } = setting;
  const [own] = builds;
  const flags = ['--hibernate-after-s', '0'];
  await using without = await own.start(flags);
  await using reporting = await own.start(flags, { OTEL_EXPORTER_OTLP_ENDPOINT: collector });
  for (const server of [without, reporting]) await press(server, WARM_UP);
  const sides = [
    { server: without, blocks: off },
    { server: reporting, blocks: on },
  ];
  for (let block = 0; block < BLOCKS[sizeOf(setting)]; block += 1) {
    signal.throwIfAborted();
    // A B B A: whatever goes up or down for a while meets both alike.
    for (const { server, blocks } of block % 2 === 0 ? sides : sides.toReversed()) {
      const { wall, processor } = await press(server, BLOCK);
      blocks.wall.push(wall);
      blocks.processor.push(processor);
    }
  }
}

function sizeOf({ quick }: Setting): 'quick' | 'thorough' {
  return quick ? 'quick' : 'thorough';
}

/** Makes so many calls, as many at once as there are sessions. @returns milliseconds of one */
async function press(server: Server, calls: number): Promise<{ wall: number; processor: number }> {
  const { print } = openRest(server.url);
  const before = processorMs(server);
  const perSecond = await rate(calls, SESSIONS, (at) => print(`load-${at % SESSIONS}`));
  return { wall: 1000 / perSecond, processor: (processorMs(server) - before) / calls };
}

function processorMs({ pid }: Server): number {
  return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8')).ms;
}
