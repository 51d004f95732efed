import type Docker from 'dockerode';
import type { Protection } from '../../../sandbox/assurances.ts';
import { diskSizesFor } from '../../../sandbox/disk-sizes.ts';
import { assertInRange, fingerprint, MIB, mappedMemory, SIGNALS_OF_REMAPPED } from '../../hardening/sandbox-limits.ts';
import { MASKED_PATHS } from './masked-paths.ts';
import { type ContainerSpec, containerName, inodesOf, LABELS, labelsOf, MAIN_UID } from './spec.ts';

/** Period of the processor limit in microseconds, the kernel's default. */
const CPU_PERIOD_US = 100_000;

/** A disk of a sandbox: a volume, as Podman gives a tmpfs of a container neither a limit of files nor an owner. */
export interface PodmanDisk {
  readonly name: string;
  readonly target: string;
  /** Options of the tmpfs. */
  readonly options: string;
  readonly executable: boolean;
}

/** Container options of Podman's own API: `SpecGenerator` in pkg/specgen/specgen.go of github.com/containers/podman. */
export type PodmanOptions = ReturnType<typeof podmanOptions>;

/** The disks of a sandbox, to be made before its container. */
export function podmanDisks(spec: ContainerSpec): readonly PodmanDisk[] {
  const { workspaceMb, tmpMb, shmMb } = diskSizesFor(spec.memoryMb, spec.diskMb);
  const own = `mode=0700,uid=${spec.uid},gid=${spec.uid}`;
  const disk = (what: string, target: string, sizeMb: number, owner: string): PodmanDisk => ({
    ...{ name: `${containerName(spec.key)}-${what}`, target, executable: target !== '/dev/shm' },
    options: `nosuid,nodev,size=${sizeMb}m,nr_inodes=${inodesOf(sizeMb)},${owner}`,
  });
  return [
    disk('workspace', '/workspace', workspaceMb, own),
    disk('tmp', '/tmp', tmpMb, own),
    // Named, or Podman would make owner and mode those of the folder in the image.
    disk('shm', '/dev/shm', shmMb, 'mode=1777,uid=0,gid=0'),
  ];
}

/** The names of a sandbox's disks. */
export function podmanDiskNames(key: string): string[] {
  return ['workspace', 'tmp', 'shm'].map((what) => `${containerName(key)}-${what}`);
}

/**
 * Makes the options of a sandbox's container for Podman. They are those of its own API, because its version of Docker's
 * drops some without a word: the masked paths, the namespace of control groups, and that no other tmpfs is writable.
 * @param profilePath file with the system call filter, on the engine's machine
 * @throws GloveboxError `invalid_input` when a size is out of range
 */
export function podmanOptions(spec: ContainerSpec, profilePath: string) {
  assertInRange(spec);
  const options = commonOptions(spec, profilePath);
  return {
    ...options,
    name: containerName(spec.key),
    labels: labelsOf(spec, fingerprint(options)),
    volumes: podmanDisks(spec).map(({ name, target, executable }) => ({
      Name: name,
      Dest: target,
      Options: ['rw', 'nosuid', 'nodev', executable ? 'exec' : 'noexec', 'nocopy'],
    })),
  };
}

/** The options that sandboxes of the same sizes share. */
function commonOptions(spec: ContainerSpec, profilePath: string) {
  const privately = { nsmode: 'private' };
  const memory = spec.memoryMb * MIB;
  const { largestFileMb } = diskSizesFor(spec.memoryMb, spec.diskMb);
  return {
    image: spec.image,
    ...(spec.runtime === undefined ? {} : { oci_runtime: spec.runtime }),
    ...{ hostname: 'sandbox', user: `${MAIN_UID}:${MAIN_UID}`, env: { LANG: 'C.UTF-8' } },
    // These replace the entry point, working directory, volumes and health check of the image.
    ...{ entrypoint: ['/bin/sleep'], command: [String(spec.maxLifetimeS)], work_dir: '/' },
    ...{ image_volume_mode: 'ignore', healthconfig: { Test: ['NONE'] } },
    ...{ terminal: false, stdin: false, stop_timeout: 0, remove: true, init: true },
    ...{ env_host: false, http_proxy: false },
    ...{ read_only_filesystem: true, read_write_tmpfs: false },
    ...{ netns: { nsmode: 'none' }, ipcns: privately, pidns: privately, utsns: privately, cgroupns: privately },
    ...{ cap_drop: ['ALL'], no_new_privileges: true, seccomp_profile_path: profilePath },
    // Podman keeps its own read-only paths. Masked besides: the resolver of the machine that built the image, because a
    // container without a network gets no file of its own.
    mask: [...MASKED_PATHS, '/etc/resolv.conf'],
    resource_limits: {
      memory: { limit: memory, swap: memory },
      cpu: { period: CPU_PERIOD_US, quota: Math.round(spec.cpus * CPU_PERIOD_US) },
      pids: { limit: spec.pids },
    },
    oom_score_adj: 500,
    log_configuration: { driver: 'none' },
    r_limits: [
      ...[limit('NOFILE', 1024), limit('CORE', 0), limit('FSIZE', largestFileMb * MIB)],
      limit('DATA', mappedMemory(memory, spec.pids)),
      ...(spec.remapped ? [limit('SIGPENDING', SIGNALS_OF_REMAPPED)] : []),
    ],
  };
}

/**
 * Exec options that close the tmpfs which crun mounts over control groups of version 1, and in which every user may
 * write. Its owner is root, which needs no capability for that. No code of a session runs yet.
 */
export function sealExecOptions(): Docker.ExecCreateOptions {
  return {
    Cmd: ['/bin/chmod', '0755', '/sys/fs/cgroup'],
    User: '0:0',
    WorkingDir: '/',
    AttachStdout: true,
    AttachStderr: true,
    Tty: false,
    Privileged: false,
  };
}

function limit(type: string, value: number) {
  return { type, soft: value, hard: value };
}

/** What Podman says of a container that it made, by its version of Docker's API. */
export interface MadeContainer {
  readonly HostConfig: Readonly<Record<string, unknown>> & {
    readonly Ulimits?: readonly { readonly Name: string; readonly Soft: number; readonly Hard: number }[] | null;
    readonly SecurityOpt?: readonly string[] | null;
    readonly Binds?: readonly string[] | null;
  };
}

/** Names what of the options is not in a container that was made from them. Some engines drop what they cannot give. */
export function findDropped(options: PodmanOptions, { HostConfig: host }: MadeContainer): string[] {
  const { memory, pids, cpu } = options.resource_limits;
  const asked: readonly (readonly [name: string, value: unknown])[] = [
    ['Memory', memory.limit],
    ['MemorySwap', memory.swap],
    ['CpuQuota', cpu.quota],
    ['CpuPeriod', cpu.period],
    ['PidsLimit', pids.limit],
    ['NetworkMode', 'none'],
    ['IpcMode', 'private'],
    ['PidMode', 'private'],
    ['ReadonlyRootfs', true],
    ['Privileged', false],
    ['Init', true],
  ];
  const limits = options.r_limits.filter(({ type, soft, hard }) => {
    const found = host.Ulimits?.find(({ Name }) => Name.toUpperCase().replace(/^RLIMIT_/, '') === type);
    return found?.Soft !== soft || found.Hard !== hard;
  });
  const disks = options.volumes.filter(
    ({ Name, Dest }) => !host.Binds?.some((bind) => bind.startsWith(`${Name}:${Dest}:`)),
  );
  return [
    ...asked.filter(([name, value]) => host[name] !== value).map(([name]) => name),
    ...limits.map(({ type }) => `Ulimits ${type}`),
    ...disks.map(({ Dest }) => `the disk ${Dest}`),
    ...(host.SecurityOpt?.includes('no-new-privileges') ? [] : ['no-new-privileges']),
  ];
}

/** Which protection each of them belongs to. */
const PROTECTION_OF: readonly (readonly [dropped: RegExp, name: Protection])[] = [
  [/^Memory$/, 'memory'],
  [/^MemorySwap$/, 'swap'],
  [/^Cpu/, 'cpu'],
  [/^PidsLimit$/, 'pids'],
  [/^NetworkMode$/, 'network'],
  [/^(Ipc|Pid)Mode$/, 'namespaces'],
  [/^ReadonlyRootfs$/, 'writable'],
  [/^(Privileged|no-new-privileges)$/, 'privileges'],
  [/^Init$/, 'main-process'],
  [/^Ulimits /, 'rlimits'],
  [/^the disk /, 'disks'],
];

/** Whether what {@link findDropped} names may be missing. @param allowed protections that sandboxes may lack */
export function mayLack(dropped: string, allowed: readonly Protection[]): boolean {
  return PROTECTION_OF.some(([pattern, name]) => pattern.test(dropped) && allowed.includes(name));
}

/** Filter for the volumes of sandboxes, and the label by which a volume belongs to one. */
export const DISK_LABEL = LABELS.key;
