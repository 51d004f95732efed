import { settleAll } from './against/build.ts';
import { pairRows, pairSubjects } from './against/pair.ts';
import { check, closeSession, post } from './doors.ts';
import type { Jupyter } from './jupyter.ts';
import { interleave, median, type Samples, type Subject } from './measure.ts';
import { CODE } from './programs.ts';
import type { Server } from './server.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';

const SESSION = 'cells';
const NAMES = {
  kernel: 'Jupyter kernel: print(1)',
  fresh: 'print(1) over REST: a fresh process',
  context: 'print(1) over REST: in a context',
  start: 'Jupyter kernel: start and first cell',
  firstFresh: 'new session, pool ready: first fresh process',
  firstContext: 'new session, pool ready: first cell in a context',
};

/** Of the other build's first cell of a new session. */
const TARGET_OF_FIRST = 1 / 3;
/** New sessions before those that count: as many as a server needs to notice that they use contexts. */
const WARM_UP = 5;

/** Cells in a context, and the first one of a new session, against a Jupyter kernel on the machine itself. */
export async function measureCells({ builds, jupyter, quick, signal }: Setting): Promise<Row[]> {
  const servers = builds.map(({ server }) => server);
  const settle = () => settleAll(servers);
  const openJupyter = await jupyter();
  await using driver = openJupyter?.();
  const starts = await interleave(
    [
      ...(driver ? [kernelStart(driver)] : []),
      ...(await pairSubjects(builds, ({ server }) => [
        first(NAMES.firstFresh, server, settle),
        first(NAMES.firstContext, server, settle, 'main'),
      ])),
    ],
    { rounds: quick ? 4 : 12, warmUp: WARM_UP, signal },
  );
  await driver?.start();
  const prints = await interleave(
    [
      ...(driver ? [{ name: NAMES.kernel, run: () => driver.print() }] : []),
      ...(await pairSubjects(builds, ({ server }) => [
        { name: NAMES.fresh, run: () => print(server, SESSION) },
        { name: NAMES.context, run: () => print(server, SESSION, 'main') },
      ])),
    ],
    { rounds: quick ? 100 : 300, warmUp: 20, signal },
  );
  for (const { url } of servers) await closeSession(url, SESSION);
  return pairRows({ ...starts, ...prints }, toRows);
}

function kernelStart(driver: Jupyter): Subject {
  return { name: NAMES.start, run: () => driver.start(), after: () => driver.stop() };
}

function first(name: string, server: Server, before: () => Promise<void>, context?: string): Subject {
  let made = 0;
  const session = () => `${SESSION}-${context ?? 'fresh'}-${made}`;
  return {
    name,
    before,
    run: () => {
      made += 1;
      return print(server, session(), context);
    },
    after: () => closeSession(server.url, session()),
  };
}

async function print({ url }: Server, session: string, context?: string): Promise<void> {
  check(await post(url, { code: CODE, session_id: session, ...(context ? { context } : {}) }));
}

function toRows(samples: Samples): Row[] {
  const of = (name: string) => samples[name] ?? [];
  const against = (floor: string, name: string) => (name in samples ? [{ floor, of: median(of(name)) }] : []);
  const [cell, start] = [against('kernel', NAMES.kernel), against('kernel', NAMES.start)];
  const rows = [
    toRow(NAMES.kernel, 'ms', of(NAMES.kernel)),
    toRow(NAMES.fresh, 'ms', of(NAMES.fresh), cell),
    toRow(NAMES.context, 'ms', of(NAMES.context), [...cell, { floor: 'fresh process', of: median(of(NAMES.fresh)) }]),
    toRow(NAMES.start, 'ms', of(NAMES.start)),
    toRow(NAMES.firstFresh, 'ms', of(NAMES.firstFresh), start),
    { ...toRow(NAMES.firstContext, 'ms', of(NAMES.firstContext), start), ofTargets: TARGET_OF_FIRST },
  ];
  return rows.filter((row) => row.samples.length > 0);
}
