import { openRest } from './doors.ts';
import { median, rate } from './measure.ts';
import { startServer } from './server.ts';
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
export async function measureThroughput({ flags, floors, signal, quick }: Setting): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const containers = await Promise.all(
    Array.from({ length: Math.max(...EXECS) }, async () => {
      const container = await floors.createAndStart();
      stack.defer(() => container.remove({ force: true }));
      return container;
    }),
  );
  const server = stack.use(await startServer([...flags, ...SETTINGS], signal));
  const { print } = openRest(server.url);
  const callSession = (worker: number) => print(`load-${worker}`);
  await rate(MOST, MADE_AT_ONCE, callSession);
  await server.settled();
  const callExec = async (worker: number) => {
    const container = containers[worker];
    if (container) await floors.execPrint(container);
  };
  const execs = EXECS.map((workers) => toLoad(`engine's exec of print(1): ${workers} at once`, workers, callExec));
  const sessions = SESSIONS.map((workers) => toLoad(`print(1) over REST: ${nameOf(workers)}`, workers, callSession));
  const loads = [...execs, ...sessions];
  for (let round = 0; round < (quick ? 2 : 5); round += 1) {
    for (const load of round % 2 === 0 ? loads : loads.toReversed()) {
      signal.throwIfAborted();
      await press(load, quick ? 1500 : 2500);
    }
  }
  return [...execs.map((load) => rateRow(load)), ...sessions.map((load) => rateRow(load, execs))].concat(
    loads.map(({ name, latencies }) => toRow(`each ${name}`, 'ms', latencies)),
  );
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
