import type { Build } from './against/build.ts';
import { inRound, joinRows } from './against/pair.ts';
import { closeSession, openRest } from './doors.ts';
import { interleave, median } from './measure.ts';
import type { Server } from './server.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';

const SESSION = 'beside-starts';
const CALLS = 40;
const ALONE = 'print(1) without a pause: nothing starts';
const BESIDE = 'print(1) without a pause: sandboxes start beside it';
const STARTED = 'sandboxes started beside those calls';
/** Of the p50 while nothing starts. */
const TARGET = 1.5;

/** One build, with what its calls took, and how many sandboxes a second were started meanwhile. */
interface Measured {
  readonly server: Server;
  readonly alone: number[];
  readonly beside: number[];
  readonly started: number[];
}

/** What running calls notice of new sessions, whose sandboxes the pool has to replace. */
export async function measureStartsBeside({ builds, quick, signal }: Setting): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const all: Measured[] = [];
  for (const build of builds) all.push(await open(build, stack));
  for (let turn = 0; turn < (quick ? 4 : 10); turn += 1) {
    await inRound(turn, all, async ({ server, alone }) => alone.push(...(await callAgain(server, signal))));
    await inRound(turn, all, (own) => measureBeside(own, signal));
  }
  return joinRows(all.map(toRows));
}

async function open(build: Build, stack: AsyncDisposableStack): Promise<Measured> {
  const server = stack.use(await build.start([]));
  await callAgain(server, new AbortController().signal);
  return { server, alone: [], beside: [], started: [] };
}

async function measureBeside({ server, beside, started }: Measured, signal: AbortSignal): Promise<void> {
  const begun = performance.now();
  const starts = await startAgain(server);
  try {
    beside.push(...(await callAgain(server, signal)));
  } finally {
    const made = await starts.stop();
    started.push(made / ((performance.now() - begun) / 1000));
    await server.settled();
  }
}

async function callAgain({ url }: Server, signal: AbortSignal): Promise<number[]> {
  const { print } = openRest(url);
  const { print: samples = [] } = await interleave([{ name: 'print', run: () => print(SESSION) }], {
    rounds: CALLS,
    warmUp: 3,
    signal,
  });
  return samples;
}

/** One new session after the other, each closed again, until stopped; from then on so many that the pool is empty. */
async function startAgain(server: Server): Promise<{ stop: () => Promise<number> }> {
  const { pool } = await server.health();
  const { print } = openRest(server.url);
  const drained = Promise.withResolvers<void>();
  let stopped = false;
  let made = 0;
  const work = async () => {
    while (!stopped) {
      const session = `started-${made}`;
      made += 1;
      await print(session);
      if (made > pool.size) drained.resolve();
      await closeSession(server.url, session);
    }
  };
  const ended = work();
  await Promise.race([drained.promise, ended]);
  const ahead = made;
  return {
    stop: async () => {
      stopped = true;
      await ended;
      return made - ahead;
    },
  };
}

function toRows({ alone, beside, started }: Measured): Row[] {
  return [
    toRow(ALONE, 'ms', alone),
    toRow(BESIDE, 'ms', beside, [{ floor: 'nothing starts', of: median(alone), target: TARGET }]),
    toRow(STARTED, '/s', started),
  ];
}
