import { readFileSync } from 'node:fs';
import type Docker from 'dockerode';
import { containerOf } from './sandboxes.ts';

const MIB = 2 ** 20;

/** Memory in MiB. */
export interface Use {
  /** Of the container's memory control group, without the files that can be dropped at any time. */
  readonly group: number;
  /** Of the container's processes, each with its part of what is shared. */
  readonly processes?: number;
  /** Of the engine's own process beside the container. */
  readonly keeper?: number;
}

/** What the container of a session takes. */
export async function useOf(docker: Docker, stateDir: string, session: string): Promise<Use> {
  const name = containerOf(stateDir, session);
  if (name === undefined) throw new Error(`No manifest names the session ${session}.`);
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

/** MiB; undefined where the process is not of this machine, or not for this user to read. */
export function proportionalOf(pid: number): number | undefined {
  return fieldOf(`/proc/${pid}/smaps_rollup`, 'Pss');
}

/** The same in parts: memory of no file, and pages of files. */
export function proportionalParts(pid: number): { readonly own: number; readonly files: number } | undefined {
  const [own, files, shared] = ['Pss_Anon', 'Pss_File', 'Pss_Shmem'].map((name) =>
    fieldOf(`/proc/${pid}/smaps_rollup`, name),
  );
  return own === undefined || files === undefined ? undefined : { own: own + (shared ?? 0), files };
}

/** MiB, as `proportionalOf`. */
export function residentOf(pid: number): number | undefined {
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
