import { readdirSync, readFileSync } from 'node:fs';

/** Of the times in `/proc/PID/stat`; Linux tells programs no other. */
const TICKS_PER_SECOND = 100;
const NANOSECONDS = 1e6;

/** One process, as `/proc/PID/stat` has it. */
export interface ProcessTimes {
  readonly pid: number;
  readonly name: string;
  readonly parent: number;
  /** Milliseconds of processor time, with that of children that have ended and been waited for. */
  readonly ms: number;
}

/** A control group's file with its processor time, and what one of its units is in milliseconds. */
export interface UsageFile {
  readonly path: string;
  readonly version: 1 | 2;
}

/** What `/proc/PID/stat` says. The name is in brackets, and may have any character in it. */
export function parseStat(text: string): ProcessTimes {
  const open = text.indexOf('(');
  const close = text.lastIndexOf(')');
  const [, parent, ...fields] = text.slice(close + 2).split(' ');
  // User and system time, then both of its children, are the fourteenth field and those after it.
  const ticks = fields.slice(9, 13).reduce((sum, field) => sum + Number(field), 0);
  return {
    pid: Number(text.slice(0, open)),
    name: text.slice(open + 1, close),
    parent: Number(parent),
    ms: (ticks * 1000) / TICKS_PER_SECOND,
  };
}

/**
 * Where the processor time of a process's control group stands, by its `/proc/PID/cgroup` and this program's
 * `/proc/self/mountinfo`; undefined if no mounted hierarchy counts it. A machine that mounts both versions counts
 * processor time in the first.
 */
export function findUsageFile(groups: string, mounts: string): UsageFile | undefined {
  const lines = groups.trim().split('\n').map(toGroup);
  const counted = lines.find(({ controllers }) => controllers.includes('cpuacct'));
  const unified = lines.find(({ hierarchy }) => hierarchy === '0');
  for (const mount of mounts.trim().split('\n').map(toMount)) {
    const { folder, root, type, options } = mount;
    if (counted && type === 'cgroup' && options.includes('cpuacct')) {
      return { path: `${folder}${below(counted.path, root)}/cpuacct.usage`, version: 1 };
    }
    if (!counted && unified && type === 'cgroup2') {
      return { path: `${folder}${below(unified.path, root)}/cpu.stat`, version: 2 };
    }
  }
  return undefined;
}

/** Milliseconds. */
export function parseUsage(text: string, version: UsageFile['version']): number {
  return version === 1 ? Number(text) / NANOSECONDS : Number(/^usage_usec (\d+)$/m.exec(text)?.[1]) / 1000;
}

/** `4:cpu,cpuacct:/docker/ID` */
function toGroup(line: string): { hierarchy: string; controllers: string[]; path: string } {
  const [hierarchy = '', controllers = '', ...path] = line.split(':');
  return { hierarchy, controllers: controllers.split(','), path: path.join(':') };
}

/** `33 31 0:30 ROOT FOLDER rw,relatime shared:1 - TYPE SOURCE rw,cpuacct` */
function toMount(line: string): { root: string; folder: string; type: string; options: string[] } {
  const [before = '', after = ''] = line.split(' - ');
  const [, , , root = '', folder = ''] = before.split(' ');
  const [type = '', , options = ''] = after.split(' ');
  return { root, folder, type, options: options.split(',') };
}

/** The part of a group's path that is below what is mounted. */
function below(path: string, root: string): string {
  const rest = root !== '/' && path.startsWith(root) ? path.slice(root.length) : path;
  return rest === '/' ? '' : rest;
}

/** All processes of this machine that are there now. */
export function readProcesses(): ProcessTimes[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'))];
      } catch {
        // It has just ended.
        return [];
      }
    });
}

/** Milliseconds of a process and of all below it. */
export function treeTime(root: number, processes: readonly ProcessTimes[]): number {
  const own = processes.find(({ pid }) => pid === root)?.ms ?? 0;
  const children = processes.filter(({ parent }) => parent === root);
  return children.reduce((sum, { pid }) => sum + treeTime(pid, processes), own);
}

/** Milliseconds of the control group that a process is in; undefined where it cannot be read. */
export function groupTime(pid: number): number | undefined {
  try {
    const file = findUsageFile(
      readFileSync(`/proc/${pid}/cgroup`, 'utf8'),
      readFileSync('/proc/self/mountinfo', 'utf8'),
    );
    return file && parseUsage(readFileSync(file.path, 'utf8'), file.version);
  } catch {
    return undefined;
  }
}
