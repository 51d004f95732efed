import type { Build } from './against/build.ts';
import { inRound, joinRows } from './against/pair.ts';
import { openRest } from './doors.ts';
import { groupTime, readProcesses, treeTime } from './processor.ts';
import { containerOf } from './sandboxes.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';

const SESSION = 'bench-parts';
/** Programs of an engine that run once on a machine, whatever containers there are. */
const DAEMONS = new Set(['dockerd', 'containerd', 'podman', 'crio']);
const WARM_UP = 50;
const TARGET_OF_ALL = 0.55;

/** Who works for a call, in milliseconds of processor time. */
export interface Times {
  readonly server: number;
  readonly engine: number;
  /** The engine's own process beside the container. */
  readonly relay: number;
  /** All that is in the container. */
  readonly sandbox: number;
}

const PARTS = [
  ['server', 'server'],
  ['engine', "engine's daemon"],
  ['relay', "engine's relay beside the container"],
  ['sandbox', 'sandbox'],
] as const;

/** One build, with what each window of calls took of the processor. */
interface Measured {
  readonly call: () => Promise<void>;
  readonly read: () => Times;
  /** For each call. */
  readonly windows: Times[];
}

/** Processor time of one `print(1)` over REST, by who spends it; none where the engine's processes cannot be looked at. */
export async function measureCallParts({ builds, docker, quick, signal }: Setting): Promise<Row[]> {
  const all: Measured[] = [];
  for (const build of builds) all.push(await open(build, docker));
  if (!all.every(({ read }) => isKnown(read()))) return [];
  const calls = quick ? 100 : 300;
  for (let round = 0; round < (quick ? 4 : 10); round += 1) {
    await inRound(round, all, async ({ call, read, windows }) => {
      signal.throwIfAborted();
      const before = read();
      for (let at = 0; at < calls; at += 1) await call();
      windows.push(each(before, read(), calls));
    });
  }
  return joinRows(all.map(({ windows }) => toRows(windows)));
}

async function open({ server, stateDir }: Build, docker: Setting['docker']): Promise<Measured> {
  const { print } = openRest(server.url);
  const call = () => print(SESSION);
  for (let at = 0; at < WARM_UP; at += 1) await call();
  await server.settled();
  const { State } = await docker.getContainer(containerOf(stateDir, SESSION) ?? '').inspect();
  return { call, read: () => readTimes(server.pid, State.Pid), windows: [] };
}

/** So far, of a server, and of the container whose first process has this id. */
export function readTimes(server: number, main: number): Times {
  const processes = readProcesses();
  const relay = processes.find(({ pid }) => pid === main)?.parent;
  const sum = (list: typeof processes) => list.reduce((total, { ms }) => total + ms, 0);
  return {
    server: treeTime(server, processes),
    engine: sum(processes.filter(({ name }) => DAEMONS.has(name))),
    relay: sum(processes.filter(({ pid }) => pid === relay)),
    sandbox: groupTime(main) ?? Number.NaN,
  };
}

export function isKnown({ engine, relay, sandbox }: Times): boolean {
  return engine > 0 && relay > 0 && Number.isFinite(sandbox);
}

export function each(before: Times, after: Times, calls: number): Times {
  const of = (key: keyof Times) => (after[key] - before[key]) / calls;
  return { server: of('server'), engine: of('engine'), relay: of('relay'), sandbox: of('sandbox') };
}

function toRows(windows: readonly Times[]): Row[] {
  const all = windows.map(({ server, engine, relay, sandbox }) => server + engine + relay + sandbox);
  const name = 'processor time of print(1) over REST';
  return [
    { ...toRow(`${name}: all parts`, 'ms', all), ofTargets: TARGET_OF_ALL },
    ...PARTS.map(([key, part]) =>
      toRow(
        `${name}: ${part}`,
        'ms',
        windows.map((times) => times[key]),
      ),
    ),
  ];
}
