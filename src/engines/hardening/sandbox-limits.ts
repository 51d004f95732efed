import { createHash } from 'node:crypto';
import { GloveboxError } from '../../errors.ts';
import type { ConnectOptions, SandboxSpec } from '../../sandbox/engine.ts';
import { SESSION_UIDS } from '../session-users.ts';

export const MIB = 2 ** 20;
/** Smallest memory limit for gVisor in MiB, as its kernel counts as memory of the sandbox. */
export const GVISOR_MEMORY_MB = 1024;
/**
 * Private memory in MiB that a process may map and write to, whether it is used or not: so many times the memory of the
 * sandbox, and at least so much. Address space that is only reserved is not counted.
 */
const MAPPED_MEMORY = { times: 8, leastMb: 4096 };
/** Stack of a thread in MiB. It is mapped as a whole, and mostly unused. */
const STACK_MB = 8;
/** Memory in MiB that the runner needs to start. */
const SMALLEST_MEMORY_MB = 64;
/** Processes that the runner needs to start. */
const FEWEST_PIDS = 16;
/** Longest lifetime in seconds. More would be a mistake, and each engine accepts this number. */
const LONGEST_LIFETIME_S = 2 ** 31 - 1;

/** Open files of one process. */
export const OPEN_FILES = 1024;
/** Pending signals and timers in a user namespace, where all sandboxes share those of the namespace's owner. */
export const SIGNALS_OF_REMAPPED = 256;

/** Specification of a sandbox with its user. */
export interface SpecWithUser extends SandboxSpec {
  /** User id of the runner and the code. No other sandbox has it. */
  readonly uid: number;
}

/**
 * Starts the runner like `python3 FOLDER`, but without its path: stack traces of user programs start here, and would show
 * it otherwise.
 */
const RUN = [
  'import sys',
  'sys.path.insert(0, sys.argv.pop(1))',
  "exec(compile(open(sys.path[0] + '/__main__.py').read(), '<importlib._bootstrap_start>', 'exec'))",
].join('; ');

/**
 * Command of the runner. In isolated mode, its interpreter reads no files and no environment variables of the session. The
 * last argument is the name by which the next control plane reaches the runner.
 */
const RUNNER_COMMAND = ['python3', '-I', '-c', RUN, '/opt/glovebox/runner', 'glovebox-runner'] as const;

/** Command by which a control plane starts the runner, or reaches it. Without a generation, there is none but itself. */
export function runnerCommand({ generation }: ConnectOptions = {}): readonly string[] {
  return generation === undefined ? RUNNER_COMMAND : [...RUNNER_COMMAND, String(generation)];
}

/** Variables of the runner beside those of the image. */
export const RUNNER_ENVIRONMENT = ['HOME=/workspace'] as const;

/**
 * Private memory in bytes that each process may map. An allocation of more is refused, on each host alike. Without this
 * limit, vm.overcommit_memory and the memory of the host would decide: where they allow it, the program is ended when it
 * uses what it was given.
 */
export function mappedMemory(memory: number, pids: number): number {
  return Math.max(MAPPED_MEMORY.times * memory, MAPPED_MEMORY.leastMb * MIB) + pids * STACK_MB * MIB;
}

/** Whether a runtime is gVisor's. */
export function isGvisor(runtime: string | undefined): boolean {
  return runtime !== undefined && /runsc|gvisor/i.test(runtime);
}

/** Hash of the options of a sandbox. Sandboxes with the same hash differ only in their owner. */
export function fingerprint(options: object): string {
  return createHash('sha256').update(JSON.stringify(options)).digest('hex').slice(0, 16);
}

/** Refuses sizes that no engine could give. @throws GloveboxError `invalid_input` */
export function assertInRange(spec: SpecWithUser): void {
  assertWhole('memory_mb', spec.memoryMb, SMALLEST_MEMORY_MB, Number.MAX_SAFE_INTEGER / MIB);
  assertWhole('pids', spec.pids, FEWEST_PIDS, 2 ** 22);
  assertWhole('disk_mb', spec.diskMb, 1, Number.MAX_SAFE_INTEGER / MIB);
  assertWhole('max_lifetime_s', spec.maxLifetimeS, 1, LONGEST_LIFETIME_S);
  assertWhole('uid', spec.uid, SESSION_UIDS.first, SESSION_UIDS.last);
  if (!(spec.cpus >= 0.01 && spec.cpus <= 4096)) {
    throw new GloveboxError('invalid_input', `cpus must be a number from 0.01 to 4096, not ${spec.cpus}.`);
  }
  if (!/^[a-z0-9][a-z0-9_-]{0,62}$/i.test(spec.key)) {
    throw new GloveboxError('invalid_input', 'The key of a sandbox must have 1 to 63 letters, digits, "_" or "-".');
  }
}

function assertWhole(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  const range = most < 2 ** 32 ? `from ${least} to ${most}` : `of at least ${least}`;
  throw new GloveboxError('invalid_input', `${name} must be a whole number ${range}, not ${value}.`);
}
