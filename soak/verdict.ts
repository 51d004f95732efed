import type { Sample } from './sample.ts';

/** MiB that the server may have more of at the end than at the beginning: caches of code, and of the engine's answers. */
const HEAP_ROOM = 8;
/** MiB for each 1000 executions. */
const MOST_HEAP_SLOPE = 0.5;
const MOST_RSS_SLOPE = 3;
const BUFFER_ROOM = 4;
/** MiB that the server may have for a moment, beyond what it began with. */
const PEAK_ROOM = 192;
/** MiB that it may have at the end: what it made once, and holes in native memory. */
const RSS_ROOM = 64;
/** Connections to the engine, of which as many stay open for the next calls as were needed at once. */
const DESCRIPTOR_ROOM = 16;
/** Processes in which a sandbox of the pool keeps ready what its session is expected to use. */
const PRELOADED = 3;
/** Of fewer executions a line says nothing: what is made once is still being made. */
export const FEWEST_FOR_SLOPE = 5000;

const COLUMNS: readonly (readonly [heading: string, of: keyof Sample, digits: number])[] = [
  ['executions', 'executions', 0],
  ['s', 'seconds', 0],
  ['RSS', 'rss', 1],
  ['peak', 'peak', 1],
  ['heap', 'heap', 1],
  ['buffers', 'buffers', 1],
  ['fds', 'descriptors', 0],
  ['containers', 'containers', 0],
  ['processes', 'processes', 0],
  ['execs', 'execs', 0],
  ['state files', 'stateFiles', 0],
  ['MiB', 'stateSize', 1],
  ['temp files', 'tempFiles', 0],
  ["engine's fds", 'engineDescriptors', 0],
  ['RSS', 'engineRss', 0],
];

export interface Course {
  /** Before the first execution, with the pool ready. */
  readonly before: Sample;
  readonly during: readonly Sample[];
  /** With all sessions closed and the pool ready. */
  readonly after: Sample;
}

export function renderSamples({ before, during, after }: Course): string {
  const rows = [
    COLUMNS.map(([heading]) => heading),
    ...[before, ...during, after].map((sample) => COLUMNS.map(([, of, digits]) => sample[of].toFixed(digits))),
  ];
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) => row.map((cell, column) => cell.padStart(widths[column] ?? 0)).join('  ')).join('\n');
}

/** MiB for each 1000 executions, by the line that fits the samples best; the first ones, still warming up, left out. */
export function slopeOf(during: readonly Sample[], of: 'rss' | 'heap'): number {
  const settled = during.slice(Math.floor(during.length / 4));
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const x = mean(settled.map(({ executions }) => executions));
  const y = mean(settled.map((sample) => sample[of]));
  const covariance = mean(settled.map((sample) => (sample.executions - x) * (sample[of] - y)));
  const variance = mean(settled.map(({ executions }) => (executions - x) ** 2));
  return variance === 0 ? 0 : (covariance / variance) * 1000;
}

/** What did not come back to what it was, in sentences. */
export function judge(course: Course): string[] {
  const { before, during, after } = course;
  const wrong: string[] = [];
  const assert = (isRight: boolean, sentence: string) => isRight || wrong.push(sentence);
  const least = (of: keyof Sample, room: number) =>
    assert(after[of] <= before[of] + room, `${of}: ${before[of].toFixed(1)} before, ${after[of].toFixed(1)} after.`);
  least('heap', HEAP_ROOM);
  least('buffers', BUFFER_ROOM);
  least('rss', RSS_ROOM);
  assert(after.peak <= before.rss + PEAK_ROOM, `The server's RSS was ${after.peak.toFixed(1)} MiB at one moment.`);
  least('descriptors', DESCRIPTOR_ROOM);
  least('containers', 0);
  // In each sandbox one may just be made ahead, and three have loaded what sessions of late used.
  least('processes', before.containers * (1 + PRELOADED));
  // The record of what sessions use.
  least('stateFiles', 1);
  least('tempFiles', 0);
  if (after.executions < FEWEST_FOR_SLOPE) return wrong;
  const heap = slopeOf(during, 'heap');
  assert(heap <= MOST_HEAP_SLOPE, `The server's heap grows by ${heap.toFixed(2)} MiB for each 1000 executions.`);
  const rss = slopeOf(during, 'rss');
  assert(rss <= MOST_RSS_SLOPE, `The server's RSS grows by ${rss.toFixed(2)} MiB for each 1000 executions.`);
  return wrong;
}
