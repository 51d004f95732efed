import type { Build } from './against/build.ts';
import { inRound, joinRows } from './against/pair.ts';
import { openRest } from './doors.ts';
import { rate, time } from './measure.ts';
import type { Server } from './server.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';

const SESSIONS = 40;
const AT_ONCE = 8;
/** A name that stays, so that the next server takes back what the killed one left. */
const FLAGS = ['--instance', 'bench-restart'];
const HEALTH = `kill -9 with ${SESSIONS} sessions: until /health answers`;
const ALL = `kill -9 with ${SESSIONS} sessions: until each has answered`;

/** Milliseconds until `/health` answers; and of the other build's. */
const TARGETS = { atMost: 1000, ofTargets: 0.1 };

/** One build, its server of now, and what each of its restarts took. */
interface Restarted {
  readonly build: Build;
  server: Server;
  readonly health: number[];
  readonly all: number[];
}

/** From the start of a server to its first answers, after another was killed that had sessions. */
export async function measureRestarts({ builds, quick, signal }: Setting): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const restarted: Restarted[] = [];
  for (const build of builds) {
    const own: Restarted = { build, server: await build.start(FLAGS), health: [], all: [] };
    stack.defer(() => own.server[Symbol.asyncDispose]());
    restarted.push(own);
    await callAll(own.server);
  }
  for (let round = 0; round < (quick ? 2 : 6); round += 1) {
    await inRound(round, restarted, async (own) => {
      signal.throwIfAborted();
      await restart(own);
    });
  }
  return joinRows(
    restarted.map(({ health, all }) => [{ ...toRow(HEALTH, 'ms', health), ...TARGETS }, toRow(ALL, 'ms', all)]),
  );
}

async function restart(own: Restarted): Promise<void> {
  await own.server.settled();
  await own.server.kill();
  const healthy = await time(async () => {
    own.server = await own.build.start(FLAGS);
    await own.server.health();
  });
  own.health.push(healthy);
  own.all.push(healthy + (await time(() => callAll(own.server))));
}

async function callAll({ url }: Server): Promise<void> {
  const { print } = openRest(url);
  await rate(SESSIONS, AT_ONCE, (index) => print(`restart-${index}`));
}
