import type { ExecutionEnd } from '../sandbox/execution.ts';
import type { ExecutionOutput } from './execution-output.ts';

/** What executions are held to, as configured. */
export interface ExecutionLimits {
  readonly execTimeoutS: number;
  readonly maxTimeoutS: number;
  readonly memoryMb: number;
  readonly diskMb: number;
  readonly pids: number;
}

type Limit = NonNullable<ExecutionOutput['limit']>;

/** The limit that an execution met, by its end or by what the kernel refused its code, and what raises it. */
export function metLimit(end: ExecutionEnd, timeoutS: number, limits: ExecutionLimits): Limit | undefined {
  if (end.status === 'timeout') return { name: 'timeout_s', value: timeoutS, setting: 'the argument timeout_s' };
  if (end.status === 'out_of_memory') return memory(limits);
  if (end.status !== 'error') return undefined;
  switch (end.report?.error?.denied) {
    case 'memory':
      return memory(limits);
    case 'disk':
      return {
        name: 'disk_mb',
        value: limits.diskMb,
        setting: 'remove files from /workspace, or GLOVEBOX_DISK_MB where the server is set up',
      };
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
      return { name: 'file_size', value: 'of one file', setting: 'nothing: write several smaller files' };
    case 'open_files':
      return { name: 'open_files', value: 1024, setting: 'nothing: close files that are no longer needed' };
    default:
      return undefined;
  }
}

function memory({ memoryMb }: ExecutionLimits): Limit {
  return {
    name: 'memory_mb',
    value: memoryMb,
    setting: 'use less (files in /workspace and /tmp count too), or GLOVEBOX_MEMORY_MB where the server is set up',
  };
}
