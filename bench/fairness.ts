import type { Build } from './against/build.ts';
import { inRound, joinRows } from './against/pair.ts';
import { interleave, median } from './measure.ts';
import { assertOutput, CODE, run } from './programs.ts';
import type { Server } from './server.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';

const SESSIONS = 10;
const CALLS = 40;
const ROUNDS = 10;
/** Of one owner's p50 alone: what it may be while another floods the server. */
const TARGET = 2;
const ALONE = 'print(1) of one owner: alone';
const FLOODS = [
  ['print(1) of one owner: another has 40 calls that wait', 'import time; time.sleep(1)'],
  [
    'print(1) of one owner: another has 40 calls that compute',
    'import time\nend = time.time() + 1\nwhile time.time() < end: pass',
  ],
] as const;

type Call = (code: string, session: string, signal?: AbortSignal) => Promise<string>;

/** What an owner notices of another who keeps the server as busy as they may. */
export async function measureFairness({ builds, signal, quick }: Setting): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const pairs: Pair[] = [];
  for (const build of builds) pairs.push(await openPair(build, stack));
  // In short turns, so that whatever else the machine does meets all alike.
  for (let turn = 0; turn < (quick ? 4 : 10); turn += 1) {
    await inRound(turn, pairs, (pair) => measure(pair, ALONE, signal));
    for (const [name, code] of FLOODS) {
      await inRound(turn, pairs, async (pair) => {
        await using _flood = await startFlood(pair.flood, code);
        await measure(pair, name, signal);
      });
    }
  }
  return joinRows(pairs.map(toRows));
}

/** Two owners of one server. */
interface Pair {
  readonly flood: Call;
  readonly print: Call;
  readonly samples: Record<string, number[]>;
}

async function openPair(build: Build, stack: AsyncDisposableStack): Promise<Pair> {
  const [flooder, one] = [await callerOf('flooder', build), await callerOf('one', build)];
  const server = stack.use(await build.start(['--auth', 'keys', '--memory-mb', '256']));
  const [flood, print] = [flooder(server), one(server)];
  // Opens all sessions: what they take is another matter.
  for (let at = 0; at < SESSIONS; at += 1) await flood('pass', `flood-${at}`);
  await print(CODE, 'one');
  return { flood, print, samples: {} };
}

async function measure({ print, samples }: Pair, name: string, signal: AbortSignal): Promise<void> {
  const subject = { name, run: async () => assertOutput(await print(CODE, 'one'), name) };
  const measured = await interleave([subject], { rounds: ROUNDS, warmUp: 2, signal });
  samples[name] = [...(samples[name] ?? []), ...(measured[name] ?? [])];
}

function toRows({ samples }: Pair): Row[] {
  const alone = samples[ALONE] ?? [];
  const floor = { floor: 'alone', of: median(alone), target: TARGET };
  return [toRow(ALONE, 'ms', alone), ...FLOODS.map(([name]) => toRow(name, 'ms', samples[name] ?? [], [floor]))];
}

/** Forty calls at any time, over several sessions, until disposed of. */
async function startFlood(call: Call, code: string): Promise<AsyncDisposable> {
  const stop = new AbortController();
  const first = Promise.withResolvers<void>();
  const keepCalling = async (session: string) => {
    while (!stop.signal.aborted) {
      await call(code, session, stop.signal).catch((error: unknown) => {
        if (!stop.signal.aborted) first.reject(error);
      });
      first.resolve();
    }
  };
  const ended = Promise.all(Array.from({ length: CALLS }, (_, at) => keepCalling(`flood-${at % SESSIONS}`)));
  const dispose = async () => {
    stop.abort();
    await ended;
  };
  await first.promise;
  return { [Symbol.asyncDispose]: dispose };
}

/** Calls of a new owner, who has a key. */
async function callerOf(owner: string, { cli, stateDir }: Build): Promise<(server: Server) => Call> {
  const key = (await run(process.execPath, [cli, 'key', 'new', owner, '--state-dir', stateDir])).trim();
  return ({ url }) =>
    async (code, session, signal) => {
      const response = await fetch(`${url}/execute`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${key}` },
        body: JSON.stringify({ name: 'execute_python', arguments: { code, session_id: session } }),
        ...(signal ? { signal } : {}),
      });
      const body = (await response.json()) as { result?: { stdout: string } };
      if (!body.result) throw new Error(`A call of ${owner} was answered ${response.status}: ${JSON.stringify(body)}`);
      return body.result.stdout;
    };
}
