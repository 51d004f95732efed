import { limitSaid } from './command-errors.ts';
import type { ExecutionEnd } from './request.ts';
import { toSeconds } from './stopwatch.ts';

/** Configured limits of executions. */
export interface ExecutionLimits {
  readonly execTimeoutS: number;
  readonly maxTimeoutS: number;
  readonly memoryMb: number;
  readonly diskMb: number;
  /** Size of `/tmp` in MiB. Like `/dev/shm`, it is a disk of its own. */
  readonly tmpMb: number;
  readonly shmMb: number;
  readonly largestFileMb: number;
  readonly pids: number;
}

/** A limit that an execution met. */
export interface MetLimit {
  /** Name of the setting or argument, such as `memory_mb`. */
  readonly name: string;
  /** Its value, in the unit that the name says; bytes for `file_size`. */
  readonly value: number | string;
  /** How to raise it or stay below it, in words for people and models. */
  readonly setting: string;
  /** What the limit ended, if not the code itself. */
  readonly ended?: 'a child process' | undefined;
}

const MIB = 2 ** 20;

/** What a runner says when there is no process for an execution. */
const NO_PROCESS = 'no process could be started';

/**
 * Returns the limit that ended an execution, or made the kernel refuse a call of its code.
 * @param about `stderr`: what it wrote, as the programs of a command say only there what was refused; `contexts`: names of
 *   the live contexts of its session, whose processes count too
 */
export function metLimit(
  end: ExecutionEnd,
  timeoutMs: number,
  limits: ExecutionLimits,
  { stderr = '', contexts = [] }: { readonly stderr?: string; readonly contexts?: readonly string[] } = {},
): MetLimit | undefined {
  if (end.status === 'out_of_memory') return memory(limits);
  const said = end.report?.command ? limitSaid(stderr) : end.report?.error?.denied;
  const hasNone = end.failure?.startsWith(NO_PROCESS);
  // A shell that cannot fork tries again for so long that its time may be up first.
  const isSaid = end.status === 'error' || (end.status === 'timeout' && said === 'pids');
  const denied = hasNone ? 'pids' : isSaid ? said : undefined;
  const met = deniedLimit(denied, limits);
  if (met) return met.name === 'pids' ? withContexts(met, contexts) : met;
  // This comes before the time limit: a process pool that lost a worker waits for it without end.
  if (end.report?.oom_killed) return { ...memory(limits), ended: 'a child process' };
  if (end.status === 'timeout')
    return { name: 'timeout_s', value: toSeconds(timeoutMs), setting: 'the argument timeout_s' };
  return undefined;
}

/** Returns the limit of a name that the sandbox reported. The name is not trusted. */
export function deniedLimit(denied: string | undefined, limits: ExecutionLimits): MetLimit | undefined {
  switch (denied) {
    case 'memory':
      return memory(limits);
    case 'disk':
      return {
        name: 'disk_mb',
        value: limits.diskMb,
        setting: 'remove files from /workspace, or GLOVEBOX_DISK_MB where the server is set up',
      };
    case 'tmp':
      return smallDisk('/tmp', 'tmp_mb', limits.tmpMb);
    case 'shm':
      return smallDisk('/dev/shm', 'shm_mb', limits.shmMb);
    case 'pids':
      return {
        name: 'pids',
        value: limits.pids,
        setting: 'start fewer processes and threads, or GLOVEBOX_PIDS where the server is set up',
      };
    case 'network':
      return {
        name: 'network',
        value: 'none',
        setting: 'nothing: packages come by install_dependencies, data by files',
      };
    case 'file_size':
      return {
        name: 'file_size',
        value: limits.largestFileMb * MIB,
        setting: 'write less, or GLOVEBOX_DISK_MB where the server is set up: no file may be larger than the disk',
      };
    case 'open_files':
      return { name: 'open_files', value: 1024, setting: 'nothing: close files that are no longer needed' };
    default:
      return undefined;
  }
}

/** Tells of processes that nobody ends before their context: jobs of shells, and what interpreters have started. */
function withContexts(limit: MetLimit, contexts: readonly string[]): MetLimit {
  if (contexts.length === 0) return limit;
  const named = `${contexts.length === 1 ? 'the context' : 'the contexts'} ${contexts.join(', ')}`;
  const hint = `what runs in the background of ${named} counts too, until reset_context ends it`;
  return { ...limit, setting: `${limit.setting}; ${hint}` };
}

function smallDisk(path: string, name: string, value: number): MetLimit {
  return { name, value, setting: `nothing: remove files from ${path}, or write to /workspace` };
}

function memory({ memoryMb }: ExecutionLimits): MetLimit {
  return {
    name: 'memory_mb',
    value: memoryMb,
    setting: 'use less (files in /workspace and /tmp count too), or GLOVEBOX_MEMORY_MB where the server is set up',
  };
}
