import type Docker from 'dockerode';
import { settleAll } from './against/build.ts';
import { pairRows, pairSubjects } from './against/pair.ts';
import { closeSession, openRest } from './doors.ts';
import { interleave, median, type Samples, type Subject } from './measure.ts';
import type { Server } from './server.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';

const POOLED = 'new session, first result: pool ready';
const UNPOOLED = 'new session, first result: no pool';
const RUN = 'docker run --rm --network none … print(1)';
const START = 'create and start of a sealed container';
/** Of `docker run`; and of create and start. */
const TARGETS = { pooled: 1 / 20, unpooled: 1.25 };

/** The first result of a session that was not there before, against a container that the engine makes for it. */
export async function measureNewSessions(setting: Setting): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const { builds, signal, floors, quick } = setting;
  const settle = () => settleAll(builds.map(({ server }) => server));
  const subjects = [
    ...(await pairSubjects(builds, async (build) => [
      newSession(POOLED, build.server, settle),
      newSession(UNPOOLED, stack.use(await build.start(['--pool-size', '0'])), settle),
    ])),
    { name: RUN, run: () => floors.dockerRun() },
    createAndStart(setting),
  ];
  const samples = await interleave(subjects, { rounds: quick ? 5 : 16, warmUp: quick ? 1 : 3, signal });
  return pairRows(samples, toRows);
}

/** The first result of a new session each time. @param settle waits until a pool is full again */
export function newSession(name: string, of: Server, settle: () => Promise<void>): Subject {
  const { print } = openRest(of.url);
  let made = 0;
  return {
    name,
    // Besides, nobody measures while the pool is being filled.
    before: settle,
    run: () => {
      made += 1;
      return print(`new-${made}`);
    },
    after: async () => {
      await closeSession(of.url, `new-${made}`);
      await settle();
    },
  };
}

function createAndStart({ floors }: Setting): Subject {
  let container: Docker.Container | undefined;
  return {
    name: START,
    run: async () => {
      container = await floors.createAndStart();
    },
    after: async () => container?.remove({ force: true }),
  };
}

function toRows(samples: Samples): Row[] {
  const of = (name: string) => samples[name] ?? [];
  const run = { floor: 'docker run', of: median(of(RUN)) };
  const start = { floor: 'create and start', of: median(of(START)) };
  return [
    toRow(RUN, 'ms', of(RUN)),
    toRow(START, 'ms', of(START)),
    toRow(POOLED, 'ms', of(POOLED), [{ ...run, target: TARGETS.pooled }]),
    toRow(UNPOOLED, 'ms', of(UNPOOLED), [{ ...start, target: TARGETS.unpooled }, run]),
  ];
}
