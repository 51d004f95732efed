import { setTimeout as sleep } from 'node:timers/promises';
import { settleAll } from './against/build.ts';
import { pairRows, pairSubjects } from './against/pair.ts';
import { closeSession, openRest } from './doors.ts';
import { interleave, median, type Samples, type Subject } from './measure.ts';
import type { Server } from './server.ts';
import { fillSession } from './session-files.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';

const POOLED = 'new session, first result: pool ready, beside hibernated ones';
/** Sessions with so many MB, about half of it these packages; the rest is a table. */
const FILLINGS: readonly (readonly [sizeMb: number, packages: readonly string[]])[] = [
  [1, []],
  [50, ['pillow']],
  [200, ['pandas']],
];
/** A hibernated session with 1 MB of files, of a pooled first result. */
const TARGET = { sizeMb: 1, ratio: 2 };
/** Of the other build, for the larger ones. */
const TARGET_OF_OTHER = 0.45;
const LOOK_AGAIN_MS = 50;
const SETTLE_MS = 500;

const nameOf = (sizeMb: number) => `first result of a hibernated session with ${sizeMb} MB of files`;

/** The first result of sessions that come back from their archives, against that of a new session from the pool. */
export async function measureHibernation({ builds, signal, quick }: Setting): Promise<Row[]> {
  const settings = ['--hibernate-after-s', '1', '--checkpoint-after-s', '0', '--memory-mb', '1024', '--disk-mb', '400'];
  await using stack = new AsyncDisposableStack();
  const servers: Server[] = [];
  for (const build of builds) servers.push(stack.use(await build.start(settings)));
  // What one session does while it comes to rest would be in the figures of another.
  const quiet = async () => {
    for (const server of servers) await untilAtRest(server);
    await settleAll(servers);
    // The engine has yet to remove what was left, and the sandboxes of the pool have just been started.
    await sleep(SETTLE_MS);
  };
  const subjects = await pairSubjects(servers, async (server) => {
    const own: Subject[] = [pooled(server, quiet)];
    for (const filling of FILLINGS) own.push(await hibernated(server, filling, quiet));
    return own;
  });
  const samples = await interleave(subjects, { rounds: quick ? 4 : 8, warmUp: 1, signal });
  return pairRows(samples, toRows);
}

function pooled(server: Server, quiet: () => Promise<void>): Subject {
  const { print } = openRest(server.url);
  let made = 0;
  return {
    name: POOLED,
    before: quiet,
    run: () => {
      made += 1;
      return print(`awake-${made}`);
    },
    after: () => closeSession(server.url, `awake-${made}`),
  };
}

async function hibernated(
  server: Server,
  [sizeMb, packages]: (typeof FILLINGS)[number],
  quiet: () => Promise<void>,
): Promise<Subject> {
  const session = `rested-${sizeMb}`;
  await fillSession(server, session, sizeMb, packages);
  const { print } = openRest(server.url);
  return {
    name: nameOf(sizeMb),
    before: quiet,
    run: () => print(session),
  };
}

/** Settles when every session is an archive. */
async function untilAtRest({ url }: Server): Promise<void> {
  for (;;) {
    const { sessions } = (await (await fetch(`${url}/sessions`)).json()) as { sessions: { state: string }[] };
    if (sessions.every(({ state }) => state === 'hibernated')) return;
    await sleep(LOOK_AGAIN_MS);
  }
}

function toRows(samples: Samples): Row[] {
  const of = (name: string) => samples[name] ?? [];
  const floor = { floor: 'pooled', of: median(of(POOLED)) };
  return [
    toRow(POOLED, 'ms', of(POOLED)),
    ...FILLINGS.map(([sizeMb]) => {
      const isSmall = sizeMb === TARGET.sizeMb;
      const comparison = isSmall ? { ...floor, target: TARGET.ratio } : floor;
      const row = toRow(nameOf(sizeMb), 'ms', of(nameOf(sizeMb)), [comparison]);
      return isSmall ? row : { ...row, ofTargets: TARGET_OF_OTHER };
    }),
  ];
}
