import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type Docker from 'dockerode';
import { loadConfig } from '../../src/config/load.ts';
import { connectEngine } from '../../src/engines/docker/connect/connect.ts';
import { type PreparedBuild, prepareBuild } from '../against/build.ts';
import { each, isKnown, readTimes } from '../call-parts.ts';
import { writeBlock } from '../document.ts';
import { openRest, post } from '../doors.ts';
import { environment } from '../environment.ts';
import { median } from '../measure.ts';
import { readProcesses } from '../processor.ts';
import { containerOf } from '../sandboxes.ts';
import { type Server, startServer } from '../server.ts';
import { foldByModule } from './cpu-profile.ts';
import { profileNode } from './inspector.ts';
import { countEvents, countSystemCalls, recordStacks } from './kernel-tools.ts';
import {
  type Processes,
  render,
  renderCounts,
  renderIdle,
  renderSandbox,
  renderServer,
  renderTimes,
} from './tables.ts';

const USAGE = `Usage: npm run profile -- [--calls N] [--document]

Shows where one print(1) over REST spends the processor's time: in the server by module, in the sandbox by kind of work.
The sandbox's part needs root, and the programs perf and strace; what cannot be measured is left out.
  --calls     of each measurement, 300 by default
  --document  writes the tables into docs/performance.md
`;
const SESSION = 'profile';
const WARM_UP = 400;
const OWN_WORK_CALLS = 50;
const IDLE_AFTER_MS = 1500;
const EVENTS = ['page-faults', 'context-switches'];
/** Runs in a fresh process of the session, as a call does. */
const OWN_WORK = `import time
begun = time.thread_time_ns()
code = compile('print(1)', '<code>', 'exec')
compiled = time.thread_time_ns()
exec(code)
print(compiled - begun, time.thread_time_ns() - compiled)`;

/** What is looked at. */
interface Subject {
  readonly server: Server;
  readonly inspector: string;
  readonly container: Docker.Container;
  readonly calls: number;
  readonly repeat: () => Promise<void>;
}

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort());

await main();
// Connections that are kept open would hold the process.
process.exit();

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      calls: { type: 'string', default: '300' },
      document: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  using build = prepareBuild(undefined, 'slim', stop.signal);
  const said: Buffer[] = [];
  await using server = await startServer(build.flags, stop.signal, {
    nodeFlags: ['--inspect=127.0.0.1:0'],
    hear: (chunk) => said.push(chunk),
  });
  const inspector = /ws:\S+/.exec(Buffer.concat(said).toString())?.[0] ?? '';
  const text = await profile(await openSubject(build, server, inspector, Number(values.calls)));
  process.stdout.write(`${text}\n`);
  if (values.document) writeBlock('Where the time of a call goes', text);
}

async function openSubject(build: PreparedBuild, server: Server, inspector: string, calls: number): Promise<Subject> {
  const { print } = openRest(server.url);
  const repeat = async (times = calls) => {
    for (let at = 0; at < times; at += 1) {
      stop.signal.throwIfAborted();
      await print(SESSION);
    }
  };
  await repeat(WARM_UP);
  await server.settled();
  const { docker } = await connectEngine(loadConfig(environment()));
  const container = docker.getContainer(containerOf(build.stateDir, SESSION) ?? '');
  return { server, inspector, container, calls, repeat: () => repeat() };
}

/** Those that are there now. The engine starts a container's first process, and the runner beside it. */
async function findProcesses(container: Docker.Container): Promise<Processes> {
  const { State } = await container.inspect();
  const top = await container.top({ ps_args: '-eo pid' });
  const pids = new Set((top.Processes as string[][]).map(([pid]) => Number(pid)));
  const all = readProcesses();
  const relay = all.find(({ pid }) => pid === State.Pid)?.parent;
  const own = all.filter(({ pid }) => pids.has(pid));
  const runner = own.find(({ pid, parent }) => parent === relay && pid !== State.Pid);
  if (!runner) throw new Error('The sandbox has no runner that can be seen from here.');
  return { first: State.Pid, runner: runner.pid, parents: new Map(own.map(({ pid, parent }) => [pid, parent])) };
}

async function profile({ server, inspector, container, calls, repeat }: Subject): Promise<string> {
  const { first, runner, parents } = await findProcesses(container);
  const read = () => readTimes(server.pid, first);
  const before = read();
  await repeat();
  const times = each(before, read(), calls);
  if (!isKnown(times)) throw new Error('The processes of the engine cannot be looked at from here.');
  const modules = foldByModule(await profileNode(inspector, repeat));
  const recording = await ifThere(() => recordStacks(repeat));
  const counts = await ifThere(async () => {
    const pids = async () => [...(await findProcesses(container)).parents.keys()];
    const events = await countEvents(await pids(), EVENTS, repeat);
    const perCall = (found: ReadonlyMap<string, number>) => new Map([...found].map(([key, n]) => [key, n / calls]));
    return renderCounts(perCall(events), perCall(await countSystemCalls(await pids(), repeat)));
  });
  const stacks = recording && { ...recording, parents: new Map([...parents, ...recording.parents]) };
  return [
    renderTimes(times),
    renderServer(modules, times.server),
    ...(stacks ? [renderSandbox(stacks, runner, times.sandbox)] : []),
    ...(counts ? [counts] : []),
    await renderOwnWork(server),
    await idle(container),
  ].join('\n\n');
}

/** Undefined, and why on stderr, where a tool is missing or may not look. */
async function ifThere<T>(measure: () => Promise<T>): Promise<T | undefined> {
  try {
    return await measure();
  } catch (error) {
    stop.signal.throwIfAborted();
    process.stderr.write(`profile: ${(error as Error).message}\n`);
    return undefined;
  }
}

/** After the standby of the last call is there. */
async function idle(container: Docker.Container): Promise<string> {
  await sleep(IDLE_AFTER_MS, undefined, { signal: stop.signal });
  return renderIdle(await findProcesses(container));
}

/** What the interpreter takes for the code itself, in a process that has just been forked. */
async function renderOwnWork({ url }: Server): Promise<string> {
  const found: number[][] = [];
  for (let at = 0; at < OWN_WORK_CALLS; at += 1) {
    const { stdout } = await post(url, { code: OWN_WORK, session_id: SESSION });
    found.push(String(stdout).trim().split(/\s+/).slice(1).map(Number));
  }
  const ms = (index: number) => median(found.map((values) => values[index] ?? Number.NaN)) / 1e6;
  return render([
    ["of the program's: the code itself", 'ms'],
    ['compile', ms(0)],
    ['run and print', ms(1)],
  ]);
}
