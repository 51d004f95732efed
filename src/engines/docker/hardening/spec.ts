import { createHash } from 'node:crypto';
import type Docker from 'dockerode';
import { GloveboxError } from '../../../errors.ts';
import { type DiskSizes, diskSizesFor } from '../../../sandbox/disk-sizes.ts';
import type { SandboxSpec } from '../../../sandbox/engine.ts';
import { SESSION_UIDS } from '../session-users.ts';
import { MASKED_PATHS, READONLY_PATHS } from './masked-paths.ts';
import { seccompProfile } from './seccomp.ts';

export const LABELS = {
  instance: 'glovebox.instance',
  key: 'glovebox.key',
  uid: 'glovebox.uid',
  profile: 'glovebox.profile',
} as const;

/** Arguments of `ps` with which the engine lists the processes of a sandbox. */
export const PROCESS_COLUMNS = '-eo pid,uid,stat';

/** The name of a sandbox's container. */
export function containerName(key: string): string {
  return `glovebox-${key}`;
}

/**
 * User id of the main process. It is neither root nor the user of the code, so code can neither end nor read the
 * process.
 */
export const MAIN_UID = 65_532;

const MIB = 2 ** 20;
/** Smallest memory limit for gVisor in MiB, as its kernel counts as memory of the sandbox. */
const GVISOR_MEMORY_MB = 1024;
/** Smallest process limit for gVisor, as its kernel's threads count as processes of the sandbox. */
const GVISOR_PIDS = 1024;
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
/** Longest lifetime in seconds. More would be a mistake, and `sleep` accepts this number everywhere. */
const LONGEST_LIFETIME_S = 2 ** 31 - 1;

/** Pending signals and timers in a user namespace, where all sandboxes share those of the namespace's owner. */
export const SIGNALS_OF_REMAPPED = 256;

const SECCOMP_OPTION = `seccomp=${JSON.stringify(seccompProfile())}`;
const SECCOMP_OPTION_OF_REMAPPED = `seccomp=${JSON.stringify(seccompProfile({ remapped: true }))}`;

/** Specification of a container. */
export interface ContainerSpec extends SandboxSpec {
  /** User id of the runner and the code. No other container has it. */
  readonly uid: number;
  /** Whether the engine gives containers a user namespace: it is rootless, or remaps users. */
  readonly remapped?: boolean;
}

/** Adds `CgroupnsMode`, which the types lack. It is part of API 1.41, the oldest supported version. */
interface HostConfig extends Docker.HostConfig {
  CgroupnsMode: 'private';
}

/**
 * Makes the options of a sandbox's container, with all its hardening. Only the sizes depend on settings.
 * @throws GloveboxError `invalid_input` when a size is out of range
 */
export function containerOptions(spec: ContainerSpec): Docker.ContainerCreateOptions {
  assertInRange(spec);
  const storage = diskSizesFor(spec.memoryMb, spec.diskMb);
  const common = {
    Image: spec.image,
    Hostname: 'sandbox',
    User: `${MAIN_UID}:${MAIN_UID}`,
    // These replace the entry point, working directory and health check of the image.
    Entrypoint: ['/bin/sleep'],
    Cmd: [String(spec.maxLifetimeS)],
    WorkingDir: '/',
    Healthcheck: { Test: ['NONE'] },
    Env: ['LANG=C.UTF-8'],
    Tty: false,
    OpenStdin: false,
    StopTimeout: 0,
  };
  return {
    ...common,
    name: containerName(spec.key),
    Labels: labelsOf(spec, fingerprint({ ...common, HostConfig: hostConfig({ ...spec, uid: 0 }, storage) })),
    HostConfig: hostConfig(spec, storage),
  };
}

/** The labels of a sandbox's container. @param profile what {@link fingerprint} says of its options */
export function labelsOf({ instance, key, uid }: ContainerSpec, profile: string): Record<string, string> {
  return {
    [LABELS.instance]: instance,
    [LABELS.key]: key,
    [LABELS.uid]: String(uid),
    [LABELS.profile]: profile,
  };
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

/** Exec options that start the runner. Its stdin and stdout carry the channel, so it has no terminal. */
export function runnerExecOptions(uid: number): Docker.ExecCreateOptions {
  return {
    // In isolated mode, the runner's interpreter reads no files and no environment variables of the session.
    // The last argument is the name by which the next control plane reaches the runner.
    Cmd: ['python3', '-I', '-c', RUN, '/opt/glovebox/runner', 'glovebox-runner'],
    User: `${uid}:${uid}`,
    WorkingDir: '/',
    Env: ['HOME=/workspace'],
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    Tty: false,
    Privileged: false,
  };
}

/**
 * Exec options that kill all processes of `uid` at once. `kill(-1)` spares only its caller. As `kill` is built into the
 * shell, only the shell remains, and it ends next. Its output shows that it was not killed itself.
 */
export function killExecOptions(uid: number): Docker.ExecCreateOptions {
  return shellExecOptions(uid, 'kill -9 -1; echo done');
}

/** Exec options that run a command of the shell as a user, without input. */
export function shellExecOptions(uid: number, command: string): Docker.ExecCreateOptions {
  return {
    Cmd: ['/bin/sh', '-c', command],
    User: `${uid}:${uid}`,
    WorkingDir: '/',
    AttachStdin: false,
    AttachStdout: true,
    AttachStderr: true,
    Tty: false,
    Privileged: false,
  };
}

function hostConfig(spec: ContainerSpec, storage: DiskSizes): HostConfig {
  const gvisor = isGvisor(spec.runtime);
  const memory = Math.max(spec.memoryMb, gvisor ? GVISOR_MEMORY_MB : 0) * MIB;
  const pids = Math.max(spec.pids, gvisor ? GVISOR_PIDS : 0);
  return {
    ...(spec.runtime === undefined ? {} : { Runtime: spec.runtime }),
    AutoRemove: true,
    Init: true,
    ReadonlyRootfs: true,
    NetworkMode: 'none',
    Dns: ['127.0.0.1'],
    IpcMode: 'private',
    CgroupnsMode: 'private',
    CapDrop: ['ALL'],
    // With gVisor, the code does not see the host's kernel, and no seccomp profile is applied to it. The engine's default
    // stays for runsc itself.
    SecurityOpt: [
      'no-new-privileges',
      ...(gvisor ? [] : [spec.remapped ? SECCOMP_OPTION_OF_REMAPPED : SECCOMP_OPTION]),
    ],
    MaskedPaths: [...MASKED_PATHS],
    ReadonlyPaths: [...READONLY_PATHS],
    Memory: memory,
    MemorySwap: memory,
    NanoCpus: Math.round(spec.cpus * 1e9),
    PidsLimit: pids,
    OomScoreAdj: 500,
    ShmSize: storage.shmMb * MIB,
    Tmpfs: { '/workspace': tmpfs(storage.workspaceMb, spec.uid), '/tmp': tmpfs(storage.tmpMb, spec.uid) },
    // No log of the main process: code that could write to it would fill the engine's disk.
    LogConfig: { Type: 'none', Config: {} },
    Ulimits: [
      limit('nofile', 1024),
      limit('core', 0),
      limit('fsize', storage.largestFileMb * MIB),
      limit('data', mappedMemory(memory, pids)),
      ...(spec.remapped ? [limit('sigpending', SIGNALS_OF_REMAPPED)] : []),
    ],
  };
}

/**
 * Private memory in bytes that each process may map. An allocation of more is refused, on each host alike. Without this
 * limit, vm.overcommit_memory and the memory of the host would decide: where they allow it, the program is ended when it
 * uses what it was given.
 */
export function mappedMemory(memory: number, pids: number): number {
  return Math.max(MAPPED_MEMORY.times * memory, MAPPED_MEMORY.leastMb * MIB) + pids * STACK_MB * MIB;
}

/** Options of a tmpfs. It needs `exec` to load compiled packages; the engine's default is noexec. */
function tmpfs(sizeMb: number, uid: number): string {
  return `rw,nosuid,nodev,exec,size=${sizeMb}m,nr_inodes=${inodesOf(sizeMb)},mode=0700,uid=${uid},gid=${uid}`;
}

/** Limit of files on a disk. */
export function inodesOf(sizeMb: number): number {
  return Math.max(1024, sizeMb * 128);
}

function limit(name: string, value: number): Docker.Ulimit {
  return { Name: name, Soft: value, Hard: value };
}

/** Whether a runtime is gVisor's. */
export function isGvisor(runtime: string | undefined): boolean {
  return runtime !== undefined && /runsc|gvisor/i.test(runtime);
}

/** Hash of the options. Sandboxes with the same hash differ only in their owner. */
export function fingerprint(options: object): string {
  return createHash('sha256').update(JSON.stringify(options)).digest('hex').slice(0, 16);
}

/** Refuses sizes that no engine could give. @throws GloveboxError `invalid_input` */
export function assertInRange(spec: ContainerSpec): void {
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
