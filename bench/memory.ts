import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import { closeSession, openRest } from './doors.ts';
import { containerOf } from './sandboxes.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';

const SESSIONS = 5;
const SETTLE_MS = 1500;
const MIB = 2 ** 20;
const TARGET_MIB = 12;

interface Use {
  /** Of the container's memory control group, without the files that can be dropped at any time. */
  readonly group: number;
  /** Of the container's processes, each with its part of what is shared. */
  readonly processes?: number;
  /** Of the engine's own process beside the container. */
  readonly keeper?: number;
}

/** What a session takes that has run something and now waits. */
export async function measureMemory({ server, docker, stateDir, signal }: Setting): Promise<Row[]> {
  const { print } = openRest(server.url);
  const names = Array.from({ length: SESSIONS }, (_, index) => `memory-${index}`);
  await server.settled();
  const before = residentOf(server.pid);
  for (const name of names) await print(name);
  await server.settled();
  await sleep(SETTLE_MS, undefined, { signal });
  const after = residentOf(server.pid);
  const uses: Use[] = [];
  for (const name of names) uses.push(await useOf(docker, containerOf(stateDir, name) ?? noManifest(name)));
  for (const name of names) await closeSession(server.url, name);
  return toRows(uses, before, after);
}

function noManifest(session: string): never {
  throw new Error(`No manifest names the session ${session}.`);
}

async function useOf(docker: Docker, name: string): Promise<Use> {
  const container = docker.getContainer(name);
  const { memory_stats: memory } = await container.stats({ stream: false, 'one-shot': true });
  // The first is of cgroup v1, whose plain counter leaves out the groups below; the second of v2.
  const stats = memory.stats as unknown as Record<string, number>;
  const droppable = stats['total_inactive_file'] ?? stats['inactive_file'] ?? 0;
  const top = await container.top({ ps_args: '-eo pid' });
  const pids: number[] = (top.Processes as string[][]).map(([pid]) => Number(pid));
  const { State } = await container.inspect();
  const processes = sum(pids.map(proportionalOf));
  const keeper = proportionalOf(parentOf(State.Pid));
  return {
    group: (memory.usage - droppable) / MIB,
    ...(processes === undefined ? {} : { processes }),
    ...(keeper === undefined ? {} : { keeper }),
  };
}

function toRows(uses: readonly Use[], before: number | undefined, after: number | undefined): Row[] {
  const known = (key: keyof Use) => uses.map((use) => use[key]).filter((value) => value !== undefined);
  const rows = [
    { ...toRow('idle session: memory of its container', 'MiB', known('group')), atMost: TARGET_MIB },
    toRow('idle session: proportional set of its processes', 'MiB', known('processes')),
    toRow("idle session: engine's own process beside it", 'MiB', known('keeper')),
    toRow('control plane: resident', 'MiB', after === undefined ? [] : [after]),
    toRow(
      'control plane: growth for each session',
      'MiB',
      after === undefined || before === undefined ? [] : [(after - before) / SESSIONS],
    ),
  ];
  // Where the engine is elsewhere, its processes cannot be looked at.
  return rows.filter(({ samples }) => samples.length > 0);
}

/** MiB; undefined where the process is not of this machine, or not for this user to read. */
function proportionalOf(pid: number): number | undefined {
  return fieldOf(`/proc/${pid}/smaps_rollup`, 'Pss');
}

function residentOf(pid: number): number | undefined {
  return fieldOf(`/proc/${pid}/status`, 'VmRSS');
}

function parentOf(pid: number): number {
  try {
    return Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

function fieldOf(path: string, name: string): number | undefined {
  try {
    const kilobytes = new RegExp(`^${name}:\\s*(\\d+) kB`, 'm').exec(readFileSync(path, 'utf8'))?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) / 1024;
  } catch {
    return undefined;
  }
}

function sum(values: readonly (number | undefined)[]): number | undefined {
  return values.reduce((total, value) => (total === undefined || value === undefined ? undefined : total + value), 0);
}
