/** One look of perf at one processor: the process that ran, and its stack from the innermost function on. */
export interface StackSample {
  readonly pid: number;
  /** Of its thread. */
  readonly name: string;
  readonly frames: readonly Frame[];
}

interface Frame {
  readonly isKernel: boolean;
  readonly symbol: string;
}

/** What `perf script --show-task-events` prints. */
export interface Recording {
  readonly samples: readonly StackSample[];
  /** Of each process that was forked meanwhile. */
  readonly parents: ReadonlyMap<number, number>;
}

const FORK = /PERF_RECORD_FORK\((\d+):\d+\):\((\d+):\d+\)/;
const HEADER = /^\s*(\S.*?)\s+(\d+)\/\d+\s+[\d.]+:\s*$/;
const FRAME = /^\s+([0-9a-f]+) (\S+)/;
/** The upper half of the addresses is the kernel's. */
const KERNEL = /^ffff[0-9a-f]{12}$/;

export async function parseRecording(lines: AsyncIterable<string>): Promise<Recording> {
  const samples: StackSample[] = [];
  const parents = new Map<number, number>();
  let frames: Frame[] = [];
  for await (const line of lines) {
    const [, child, parent] = FORK.exec(line) ?? [];
    // A thread is forked by its own process.
    if (child !== undefined && child !== parent) parents.set(Number(child), Number(parent));
    const [, name, pid] = HEADER.exec(line) ?? [];
    if (name !== undefined) {
      frames = [];
      samples.push({ pid: Number(pid), name, frames });
    }
    const [, address, symbol] = FRAME.exec(line) ?? [];
    if (address !== undefined && symbol !== undefined) frames.push({ isKernel: KERNEL.test(address), symbol });
  }
  return { samples, parents };
}

/** What the kernel was at, by the names of its functions (x86 and ARM); the first that is anywhere on the stack counts. */
const KINDS: readonly (readonly [kind: string, symbol: RegExp])[] = [
  ['exit', /^(do_exit|do_group_exit|exit_mmap)$/],
  ['fork', /^(kernel_clone|ret_from_fork\w*|schedule_tail)$/],
  ['page faults: copies of shared pages', /^(do_wp_page|wp_page_copy)$/],
  ['page faults: new memory', /^do_anonymous_page$/],
  ['page faults: pages of files', /^(do_fault|do_read_fault|do_cow_fault|filemap_map_pages|filemap_fault)$/],
  ['page faults: the rest', /^(\w*exc_page_fault|do_mem_abort|handle_mm_fault)$/],
  ['wait', /^(do_wait|kernel_wait\w+|__do_sys_wait\w+)$/],
  ['switch to another process', /^(__schedule|schedule)$/],
  [
    'read, write, poll',
    /^(__(x64|arm64)_sys_(p?(read|write)v?\w*|poll|ppoll|epoll_\w+|send\w+|recv\w+)|do_(readv|writev))$/,
  ],
  ['other system calls', /^(do_syscall_64|el0_svc|entry_SYSCALL_\w+)$/],
];
const PYTHON = 'outside the kernel';
export const KIND_NAMES: readonly string[] = [PYTHON, ...KINDS.map(([kind]) => kind), 'interrupts'];

export function kindOf({ frames }: StackSample): string {
  const kernel = frames.filter(({ isKernel }) => isKernel);
  if (kernel.length === 0) return PYTHON;
  return KINDS.find(([, symbol]) => kernel.some((frame) => symbol.test(frame.symbol)))?.[0] ?? 'interrupts';
}

export type Role = 'runner' | 'supervisor' | 'program';

/**
 * The part of each process below the runner: a program, or a supervisor, which has forked one. A call that does without
 * a supervisor has a program alone.
 */
export function rolesBelow(runner: number, parents: ReadonlyMap<number, number>): Map<number, Role> {
  const roles = new Map<number, Role>([[runner, 'runner']]);
  const forkers = new Set(parents.values());
  const isBelow = (pid: number): boolean => {
    const parent = parents.get(pid);
    return parent !== undefined && (parent === runner || isBelow(parent));
  };
  for (const pid of parents.keys()) if (isBelow(pid)) roles.set(pid, forkers.has(pid) ? 'supervisor' : 'program');
  return roles;
}
