import type { Build } from './against/build.ts';
import { joinRows } from './against/pair.ts';
import { openRest } from './doors.ts';
import { median, rate } from './measure.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';

const EXECS = [1, 8];
const SESSIONS = [1, 8, 32, 100];
const MOST = Math.max(...SESSIONS);
const MADE_AT_ONCE = 8;
/** The default is fifty; all others are as they come, so most of a hundred calls wait for a place. */
const SETTINGS = ['--max-sessions-per-owner', String(MOST)];

/** Some who each begin anew as soon as they are answered. */
interface Load {
  readonly name: string;
  readonly workers: number;
  readonly call: (worker: number) => Promise<void>;
  readonly rates: number[];
  readonly latencies: number[];
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
  for (let round = 0; round < (quick ? 2 : 5); round += 1) {
    for (const load of round % 2 === 0 ? loads : loads.toReversed()) {
      signal.throwIfAborted();
      await press(load, quick ? 1500 : 2500);
    }
  }
  return [
    ...execs.map((load) => rateRow(load)),
    ...joinRows(sessions.map((list) => list.map((load) => rateRow(load, execs)))),
    ...execs.map(latencyRow),
    ...joinRows(sessions.map((list) => list.map(latencyRow))),
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
  return toRow(`each ${name}`, 'ms', latencies);
}

function nameOf(workers: number): string {
  return workers === 1 ? 'one session' : `${workers} sessions at once`;
}

function toLoad(name: string, workers: number, call: Load['call']): Load {
  return { name, workers, call, rates: [], latencies: [] };
}

/** Lets all workers call for so long; the last calls are waited for, and their time counts. */
async function press({ workers, call, rates, latencies }: Load, windowMs: number): Promise<void> {
  const started = performance.now();
  const before = latencies.length;
  const work = async (worker: number) => {
    for (let at = started; at - started < windowMs; ) {
      await call(worker);
      const now = performance.now();
      latencies.push(now - at);
      at = now;
    }
  };
  await Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)));
  rates.push((latencies.length - before) / ((performance.now() - started) / 1000));
}

/** One is compared with one exec after the other, more with as many at once as the engine was asked for. */
function rateRow({ name, workers, rates }: Load, execs: readonly Load[] = []): Row {
  const floor = execs.findLast((exec) => exec.workers <= workers);
  const comparisons = floor ? [{ floor: `exec, ${floor.workers} at once`, of: median(floor.rates) }] : [];
  return toRow(name, '/s', rates, comparisons);
}
