import type { Build } from './against/build.ts';
import { joinRows } from './against/pair.ts';
import { openRest } from './doors.ts';
import { median, quantile, rate } from './measure.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';

const EXECS = [1, 8];
const SESSIONS = [1, 8, 32, 100];
const MOST = Math.max(...SESSIONS);
const MADE_AT_ONCE = 8;
/** Of the other build's executions a second, where several sessions call at once. */
const TARGET_OF_RATE = 1.8;
/** Of the p50 of all: the p99 of the session that waits longest. */
const TARGET_OF_WORST = 2;
/** The default is fifty; all others are as they come, so most of a hundred calls wait for a place. */
const SETTINGS = ['--max-sessions-per-owner', String(MOST)];

/** Some who each begin anew as soon as they are answered. */
interface Load {
  readonly name: string;
  readonly workers: number;
  readonly call: (worker: number) => Promise<void>;
  readonly rates: number[];
  /** Of each worker. */
  readonly latencies: readonly number[][];
}

/** Executions of `print(1)` a second in so many sessions at once, against the engine's exec. */
export async function measureThroughput({ builds, floors, signal, quick }: Setting): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const containers = await Promise.all(
    Array.from({ length: Math.max(...EXECS) }, async () => {
      const container = await floors.createAndStart();
      stack.defer(() => container.remove({ force: true }));
      return container;
    }),
  );
  const callExec = async (worker: number) => {
    const container = containers[worker];
    if (container) await floors.execPrint(container);
  };
  const execs = EXECS.map((workers) => toLoad(`engine's exec of print(1): ${workers} at once`, workers, callExec));
  const sessions: Load[][] = [];
  for (const build of builds) sessions.push(await openSessions(build, stack));
  // The same of both builds next to each other, so that forwards and backwards make A B B A.
  const loads = [...execs, ...SESSIONS.flatMap((_, at) => sessions.flatMap((list) => list[at] ?? []))];
  for (let round = 0; round < (quick ? 2 : 6); round += 1) {
    for (const load of round % 2 === 0 ? loads : loads.toReversed()) {
      signal.throwIfAborted();
      // With more of them each has fewer turns, and one session's p99 needs some.
      await press(load, (quick ? 1500 : 2000) * (load.workers === MOST ? 3 : 1));
    }
  }
  return [
    ...execs.map((load) => rateRow(load)),
    ...joinRows(
      sessions.map((list) =>
        list.map((load) => ({ ...rateRow(load, execs), ...(load.workers > 1 ? { ofTargets: TARGET_OF_RATE } : {}) })),
      ),
    ),
    ...execs.map(latencyRow),
    ...joinRows(sessions.map((list) => [...list.map(latencyRow), ...list.slice(-1).map(worstRow)])),
  ];
}

/** A session for each worker of the largest load. */
async function openSessions(build: Build, stack: AsyncDisposableStack): Promise<Load[]> {
  const server = stack.use(await build.start(SETTINGS));
  const { print } = openRest(server.url);
  const call = (worker: number) => print(`load-${worker}`);
  await rate(MOST, MADE_AT_ONCE, call);
  await server.settled();
  return SESSIONS.map((workers) => toLoad(`print(1) over REST: ${nameOf(workers)}`, workers, call));
}

function latencyRow({ name, latencies }: Load): Row {
  return toRow(`each ${name}`, 'ms', latencies.flat());
}

/** What the session has to expect that waits longest. */
function worstRow({ name, latencies }: Load): Row {
  const worst = Math.max(...latencies.map((list) => quantile(list, 0.99)));
  const floor = { floor: 'p50 of all', of: median(latencies.flat()), target: TARGET_OF_WORST };
  return toRow(`${name}: p99 of the slowest session`, 'ms', [worst], [floor]);
}

function nameOf(workers: number): string {
  return workers === 1 ? 'one session' : `${workers} sessions at once`;
}

function toLoad(name: string, workers: number, call: Load['call']): Load {
  return { name, workers, call, rates: [], latencies: Array.from({ length: workers }, () => []) };
}

/** Lets all workers call for so long; the last calls are waited for, and their time counts. */
async function press({ call, rates, latencies }: Load, windowMs: number): Promise<void> {
  const started = performance.now();
  let calls = 0;
  const work = async (own: number[], worker: number) => {
    for (let at = started; at - started < windowMs; calls += 1) {
      await call(worker);
      const now = performance.now();
      own.push(now - at);
      at = now;
    }
  };
  await Promise.all(latencies.map(work));
  rates.push(calls / ((performance.now() - started) / 1000));
}

/** One is compared with one exec after the other, more with as many at once as the engine was asked for. */
function rateRow({ name, workers, rates }: Load, execs: readonly Load[] = []): Row {
  const floor = execs.findLast((exec) => exec.workers <= workers);
  const comparisons = floor ? [{ floor: `exec, ${floor.workers} at once`, of: median(floor.rates) }] : [];
  return toRow(name, '/s', rates, comparisons);
}
