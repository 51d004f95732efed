import type Docker from 'dockerode';
import { type DiskSizes, diskSizesFor } from '../../../sandbox/disk-sizes.ts';
import type { ConnectOptions } from '../../../sandbox/engine.ts';
import {
  assertInRange,
  fingerprint,
  GVISOR_MEMORY_MB,
  isGvisor,
  MIB,
  mappedMemory,
  OPEN_FILES,
  RUNNER_ENVIRONMENT,
  runnerCommand,
  SIGNALS_OF_REMAPPED,
  type SpecWithUser,
} from '../../hardening/sandbox-limits.ts';
import { seccompProfile } from '../../hardening/seccomp.ts';
import { MASKED_PATHS, READONLY_PATHS } from './masked-paths.ts';

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

/** Smallest process limit for gVisor, as its kernel's threads count as processes of the sandbox. */
const GVISOR_PIDS = 1024;
const SECCOMP_OPTION = `seccomp=${JSON.stringify(seccompProfile())}`;
const SECCOMP_OPTION_OF_REMAPPED = `seccomp=${JSON.stringify(seccompProfile({ remapped: true }))}`;

/** Specification of a container. */
export interface ContainerSpec extends SpecWithUser {
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

/** Exec options that start the runner. Its stdin and stdout carry the channel, so it has no terminal. */
export function runnerExecOptions(uid: number, options: ConnectOptions = {}): Docker.ExecCreateOptions {
  return {
    Cmd: [...runnerCommand(options)],
    User: `${uid}:${uid}`,
    WorkingDir: '/',
    Env: [...RUNNER_ENVIRONMENT],
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
      limit('nofile', OPEN_FILES),
      limit('core', 0),
      limit('fsize', storage.largestFileMb * MIB),
      limit('data', mappedMemory(memory, pids)),
      ...(spec.remapped ? [limit('sigpending', SIGNALS_OF_REMAPPED)] : []),
    ],
  };
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
