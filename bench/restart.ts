import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../test/support/free-port.ts';
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
/** Pause between two looks for an answer, in milliseconds. */
const LOOK_AGAIN_MS = 5;
const HEALTH = `kill -9 with ${SESSIONS} sessions: until /health answers`;
const SERVES = `kill -9 with ${SESSIONS} sessions: until it serves, and /health is ok`;
const ALL = `kill -9 with ${SESSIONS} sessions: until each has answered`;

/** Milliseconds until `/health` answers; and of the other build's. */
const TARGETS = { atMost: 1000, ofTargets: 0.1 };

/** One build, its server of now, and what each of its restarts took. */
interface Restarted {
  readonly build: Build;
  server: Server;
  readonly port: number;
  readonly health: number[];
  readonly serves: number[];
  readonly all: number[];
}

/** From the start of a server to its first answers, after another was killed that had sessions. */
export async function measureRestarts({ builds, quick, signal }: Setting): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const restarted: Restarted[] = [];
  for (const build of builds) {
    const port = await freePort();
    const server = await build.start([...FLAGS, '--port', String(port)]);
    const own: Restarted = { build, server, port, health: [], serves: [], all: [] };
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
    restarted.map(({ health, serves, all }) => [
      { ...toRow(HEALTH, 'ms', health), ...TARGETS },
      toRow(SERVES, 'ms', serves),
      toRow(ALL, 'ms', all),
    ]),
  );
}

async function restart(own: Restarted): Promise<void> {
  await own.server.settled();
  await own.server.kill();
  const answered = time(() => firstAnswer(own.port));
  const served = await time(async () => {
    own.server = await own.build.start([...FLAGS, '--port', String(own.port)]);
    await own.server.health();
  });
  own.health.push(await answered);
  own.serves.push(served);
  own.all.push(served + (await time(() => callAll(own.server))));
}

/** Resolves when `/health` answers, whatever it says. */
async function firstAnswer(port: number): Promise<void> {
  while (true) {
    try {
      await (await fetch(`http://127.0.0.1:${port}/health`)).arrayBuffer();
      return;
    } catch {
      await sleep(LOOK_AGAIN_MS);
    }
  }
}

async function callAll({ url }: Server): Promise<void> {
  const { print } = openRest(url);
  await rate(SESSIONS, AT_ONCE, (index) => print(`restart-${index}`));
}
