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

/** Arguments of `ps` for what the engine tells about processes in a sandbox. */
export const PROCESS_COLUMNS = '-eo pid,uid,stat';

/** Who the main process runs as: neither root nor the code, so that code can neither end nor read it. */
export const MAIN_UID = 65_532;

const MIB = 2 ** 20;
/** gVisor's own kernel lives in the sandbox's memory and counts as its threads. */
const GVISOR_MEMORY_MB = 1024;
const GVISOR_PIDS = 1024;
/** Below these the runner does not start. */
const SMALLEST_MEMORY_MB = 64;
const FEWEST_PIDS = 16;
/** Longer than any machine stays up: more is a mistake, and `sleep` is to take it without thinking. */
const LONGEST_LIFETIME_S = 2 ** 31 - 1;

const SECCOMP_OPTION = `seccomp=${JSON.stringify(seccompProfile())}`;

/** What a container is to be: a sandbox, and the user that its runner and code run as, which is its alone. */
export interface ContainerSpec extends SandboxSpec {
  readonly uid: number;
}

/** `CgroupnsMode` is part of API 1.41, the oldest that an engine may have, and missing in the types. */
interface HostConfig extends Docker.HostConfig {
  CgroupnsMode: 'private';
}

/**
 * The whole of the hardening: what a sandbox is made with, and nothing of it comes from a client but the sizes.
 * @throws GloveboxError `invalid_input` when the sizes do not go together
 */
export function containerOptions(spec: ContainerSpec): Docker.ContainerCreateOptions {
  assertPossible(spec);
  const storage = diskSizesFor(spec.memoryMb, spec.diskMb);
  const common = {
    Image: spec.image,
    Hostname: 'sandbox',
    User: `${MAIN_UID}:${MAIN_UID}`,
    // Whatever entry point, working directory or health check the image has: this is what runs, and where.
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
    name: `glovebox-${spec.key}`,
    Labels: {
      [LABELS.instance]: spec.instance,
      [LABELS.key]: spec.key,
      [LABELS.uid]: String(spec.uid),
      [LABELS.profile]: fingerprint({ ...common, HostConfig: hostConfig({ ...spec, uid: 0 }, storage) }),
    },
    HostConfig: hostConfig(spec, storage),
  };
}

/** As `python3 FOLDER`, but the stack of each program, which begins with this, has no path in it that is not the program's. */
const RUN = [
  'import sys',
  'sys.path.insert(0, sys.argv.pop(1))',
  "exec(compile(open(sys.path[0] + '/__main__.py').read(), '<importlib._bootstrap_start>', 'exec'))",
].join('; ');

/** Starts the runner; its stdin and stdout carry the channel, so there is no terminal in between. */
export function runnerExecOptions(uid: number): Docker.ExecCreateOptions {
  return {
    // Isolated mode: nothing that a session writes, and none of its variables, is read by the runner's interpreter.
    // The last is the name by which the next control plane reaches it.
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
 * Ends every process of `uid` at once. The kernel skips the caller of `kill(-1)` alone, and `kill` is a part of the
 * shell, so nothing is left but a shell that ends next. A word of it says that it was not killed itself.
 */
export function killExecOptions(uid: number): Docker.ExecCreateOptions {
  return {
    Cmd: ['/bin/sh', '-c', 'kill -9 -1; echo done'],
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
    // gVisor is the kernel that the code sees, and applies no host profile; the engine's own default stays for runsc.
    SecurityOpt: ['no-new-privileges', ...(gvisor ? [] : [SECCOMP_OPTION])],
    MaskedPaths: [...MASKED_PATHS],
    ReadonlyPaths: [...READONLY_PATHS],
    Memory: memory,
    MemorySwap: memory,
    NanoCpus: Math.round(spec.cpus * 1e9),
    PidsLimit: Math.max(spec.pids, gvisor ? GVISOR_PIDS : 0),
    OomScoreAdj: 500,
    ShmSize: storage.shmMb * MIB,
    Tmpfs: { '/workspace': tmpfs(storage.workspaceMb, spec.uid), '/tmp': tmpfs(storage.tmpMb, spec.uid) },
    // The engine keeps no output of the main process: code that found a way to write there would fill its disk.
    LogConfig: { Type: 'none', Config: {} },
    Ulimits: [limit('nofile', 1024), limit('core', 0), limit('fsize', storage.largestFileMb * MIB)],
  };
}

/** `exec` because compiled packages are loaded from there; the engine's default for tmpfs is noexec. */
function tmpfs(sizeMb: number, uid: number): string {
  const inodes = Math.max(1024, sizeMb * 128);
  return `rw,nosuid,nodev,exec,size=${sizeMb}m,nr_inodes=${inodes},mode=0700,uid=${uid},gid=${uid}`;
}

function limit(name: string, value: number): Docker.Ulimit {
  return { Name: name, Soft: value, Hard: value };
}

function isGvisor(runtime: string | undefined): boolean {
  return runtime !== undefined && /runsc|gvisor/i.test(runtime);
}

/** Two sandboxes with the same fingerprint differ in nothing but whose they are. */
function fingerprint(options: Docker.ContainerCreateOptions): string {
  return createHash('sha256').update(JSON.stringify(options)).digest('hex').slice(0, 16);
}

function assertPossible(spec: ContainerSpec): void {
  assertWhole('memory_mb', spec.memoryMb, SMALLEST_MEMORY_MB, Number.MAX_SAFE_INTEGER / MIB);
  assertWhole('pids', spec.pids, FEWEST_PIDS, 2 ** 22);
  assertWhole('disk_mb', spec.diskMb, 1, Number.MAX_SAFE_INTEGER / MIB);
  assertWhole('max_lifetime_s', spec.maxLifetimeS, 1, LONGEST_LIFETIME_S);
  assertWhole('uid', spec.uid, SESSION_UIDS.first, SESSION_UIDS.last);
  if (!(spec.cpus >= 0.01 && spec.cpus <= 4096)) {
    throw new GloveboxError('invalid_input', `cpus must be a number from 0.01 to 4096, not ${spec.cpus}.`);
  }
  if (!/^[a-z0-9][a-z0-9_-]{0,62}$/i.test(spec.key)) {
    throw new GloveboxError('invalid_input', 'The key of a sandbox is letters, digits, "_" and "-", at most 63.');
  }
}

function assertWhole(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  const range = most < 2 ** 32 ? `from ${least} to ${most}` : `of at least ${least}`;
  throw new GloveboxError('invalid_input', `${name} must be a whole number ${range}, not ${value}.`);
}
