import type { Protection } from '../../src/sandbox/assurances.ts';
import type { GoProgram } from './go-program.ts';

/** An engine that tests run on. */
export interface KnownEngine {
  /** What the command line calls it. */
  readonly name: string;
  readonly title: string;
  /** `GLOVEBOX_RUNTIME`, where the product is to be told. */
  readonly runtime?: string;
  /** Whether the product is to refuse it. */
  readonly refused?: boolean;
  /** What sandboxes lack there, though the product is used: a sentence each. */
  readonly missing?: readonly string[];
  /** `GLOVEBOX_ALLOW_MISSING`: what its sandboxes lack, and the product is to serve without. */
  readonly allowed?: readonly Protection[];
  /** Whether it runs in a virtual machine, whose control groups are of version 2. */
  readonly isVirtual?: boolean;
}

/** An engine that `npm run engines` sets up from Debian's packages. */
export interface EngineEntry extends KnownEngine {
  readonly kind: 'docker' | 'podman';
  /** Release of Debian that has it. */
  readonly suite: 'bookworm' | 'trixie' | 'sid';
  /** Packages whose versions the page names. */
  readonly packages: readonly string[];
  /** The engine itself or its runtime, where no release of Debian has it; its packages are then what it stands on. */
  readonly program?: GoProgram;
  /** Settings of dockerd besides those that every one here has. */
  readonly daemon?: Readonly<Record<string, unknown>>;
  /** Whether a user without any right runs it. */
  readonly rootless?: boolean;
  /** Shell commands that run before the service, in its namespaces. */
  readonly prepare?: readonly string[];
  /** Shell commands that set a virtual machine up as other hosts are. */
  readonly host?: readonly string[];
}

/** The engine of the machine that tests run on, used as it is. */
export const MACHINE_ENGINE: KnownEngine = { name: 'docker', title: 'Docker, the engine of the machine' };

/** The line of Docker 29, whose source is a Go module with a version of its own. */
const DOCKERD_29: GoProgram = {
  path: 'github.com/moby/moby/v2/cmd/dockerd',
  version: 'v2.0.0-beta.24',
  tags: ['exclude_graphdriver_btrfs', 'no_systemd'],
};
/** A later gVisor than any release of Debian has. Without C, as it starts itself again where there is no library. */
const RUNSC_2026: GoProgram = {
  path: 'gvisor.dev/gvisor/runsc',
  version: 'v0.0.0-20260905035102-160fafc42237',
  tags: ['netgo', 'osusergo'],
};
const CRUN = { runtimes: { crun: { path: '/usr/bin/crun' } } };
// gVisor takes each network namespace of a recent kernel for the first one, and then refuses to start with a network.
const RUNSC = { runtimes: { runsc: { path: '/usr/bin/runsc', runtimeArgs: ['--network=none'] } } };
const NOT_IN_GVISOR = [
  'When memory runs out, mostly the whole sandbox ends, not a process. The session is told that its files are lost.',
  'There is no system call filter of ours, and no mask: code sees the kernel of gVisor, which has a filter of its own.',
];
const NOT_IN_GVISOR_2024 = [
  ...NOT_IN_GVISOR,
  'Code can open the descriptors of the runner of its session, and so make up what that session reports. Later releases refuse it.',
];
const SPARED_BY_CRUN =
  'Where systemd starts Docker, crun leaves what is added to a container the score of containerd (-998): when memory runs out, the kernel ends the main process of the sandbox first, or others on the machine, if code asks for it.';
/** Swap, and memory that the kernel promises always, and in large pages. */
const PROMISED = [
  'echo 1 > /proc/sys/vm/overcommit_memory',
  'echo always > /sys/kernel/mm/transparent_hugepage/enabled',
  'echo 2 > /proc/sys/kernel/yama/ptrace_scope',
  'dd if=/dev/zero of=/engine/swap bs=1M count=512 status=none',
  'chmod 600 /engine/swap',
  'mkswap /engine/swap',
  'swapon /engine/swap',
];
/** Memory that the kernel promises only as far as it has some, and in small pages. */
const COUNTED = [
  'echo 200 > /proc/sys/vm/overcommit_ratio',
  'echo 2 > /proc/sys/vm/overcommit_memory',
  'echo never > /sys/kernel/mm/transparent_hugepage/enabled',
  'echo 3 > /proc/sys/kernel/yama/ptrace_scope',
];
const REMAP = [
  'useradd --system dockremap',
  'echo dockremap:200000:65536 >> /etc/subuid',
  'echo dockremap:200000:65536 >> /etc/subgid',
];

/** A host with few process ids, few open files, and processes that are hidden from other users. */
const NARROW = ['echo 1024 > /proc/sys/kernel/pid_max', 'mount -o remount,hidepid=invisible /proc', 'ulimit -n 2048'];

/** What nobody enforces for an engine without root on control groups of version 1. */
const LIMITS = ['memory', 'swap', 'pids', 'cpu'] as const satisfies readonly Protection[];

export const CATALOG: readonly EngineEntry[] = [
  {
    ...{ name: 'podman5', title: 'Podman 5, rootful', kind: 'podman', suite: 'trixie' },
    packages: ['podman', 'crun', 'conmon'],
  },
  {
    ...{ name: 'podman-sid', title: 'Podman of Debian sid, rootful', kind: 'podman', suite: 'sid' },
    packages: ['podman', 'crun', 'conmon'],
  },
  {
    ...{ name: 'podman4', title: 'Podman 4, rootful', kind: 'podman', suite: 'bookworm' },
    ...{ packages: ['podman', 'crun', 'conmon'], refused: true },
  },
  {
    ...{ name: 'podman5-rootless', title: 'Podman 5, rootless, control groups v1', kind: 'podman', suite: 'trixie' },
    ...{ packages: ['podman', 'crun', 'conmon'], rootless: true, refused: true },
  },
  {
    ...{ name: 'podman5-allowed', title: 'Podman 5, rootless, control groups v1', kind: 'podman', suite: 'trixie' },
    ...{ packages: ['podman', 'crun', 'conmon'], rootless: true, allowed: LIMITS },
  },
  {
    ...{ name: 'docker20', title: 'Docker 20.10', kind: 'docker', suite: 'bookworm' },
    packages: ['docker.io', 'containerd', 'runc'],
  },
  {
    ...{ name: 'docker26', title: 'Docker 26', kind: 'docker', suite: 'trixie' },
    packages: ['docker.io', 'containerd', 'runc'],
  },
  {
    ...{ name: 'docker26-narrow', title: 'Docker 26, 1024 process ids, 2048 open files, hidepid', kind: 'docker' },
    ...{ suite: 'trixie', packages: ['docker.io', 'containerd', 'runc'], prepare: NARROW },
  },
  {
    ...{ name: 'docker-sid', title: 'Docker of Debian sid', kind: 'docker', suite: 'sid' },
    packages: ['docker.io', 'containerd', 'runc'],
  },
  {
    ...{ name: 'docker29', title: 'Docker, line 29', kind: 'docker', suite: 'sid' },
    ...{ packages: ['containerd', 'runc'], program: DOCKERD_29 },
  },
  {
    ...{ name: 'crun', title: 'Docker 20.10 with crun', kind: 'docker', suite: 'bookworm' },
    ...{ packages: ['docker.io', 'containerd', 'crun'], daemon: CRUN, runtime: 'crun' },
  },
  {
    ...{ name: 'crun26', title: 'Docker 26 with crun', kind: 'docker', suite: 'trixie' },
    ...{ packages: ['docker.io', 'containerd', 'crun'], daemon: CRUN, runtime: 'crun' },
  },
  {
    ...{ name: 'userns', title: 'Docker 20.10 with userns-remap', kind: 'docker', suite: 'bookworm' },
    ...{ packages: ['docker.io', 'containerd', 'runc'], daemon: { 'userns-remap': 'default' }, prepare: REMAP },
  },
  {
    ...{ name: 'userns26', title: 'Docker 26 with userns-remap', kind: 'docker', suite: 'trixie' },
    ...{ packages: ['docker.io', 'containerd', 'runc'], daemon: { 'userns-remap': 'default' }, prepare: REMAP },
  },
  {
    ...{ name: 'docker-rootless', title: 'Docker 26, rootless, control groups v1', kind: 'docker', suite: 'trixie' },
    ...{ packages: ['docker.io', 'containerd', 'runc'], rootless: true, refused: true },
  },
  {
    ...{ name: 'docker-allowed', title: 'Docker 26, rootless, control groups v1', kind: 'docker', suite: 'trixie' },
    ...{ packages: ['docker.io', 'containerd', 'runc'], rootless: true, allowed: LIMITS },
  },
  {
    ...{ name: 'gvisor', title: 'Docker 26 with gVisor', kind: 'docker', suite: 'trixie' },
    ...{ packages: ['docker.io', 'containerd', 'runsc'], daemon: RUNSC, runtime: 'runsc' },
    ...{ allowed: ['inodes'], missing: NOT_IN_GVISOR_2024 },
  },
  {
    ...{ name: 'gvisor2026', title: 'Docker 26 with gVisor of September 2026', kind: 'docker', suite: 'trixie' },
    ...{ packages: ['docker.io', 'containerd'], program: RUNSC_2026, daemon: RUNSC, runtime: 'runsc' },
    ...{ allowed: ['inodes'], missing: NOT_IN_GVISOR, prepare: ['ln -sf "$folder/runsc" /usr/bin/runsc'] },
  },
  {
    ...{ name: 'gvisor12', title: 'Docker 20.10 with the gVisor of Debian 12', kind: 'docker', suite: 'bookworm' },
    ...{ packages: ['docker.io', 'containerd', 'runsc'], daemon: RUNSC, runtime: 'runsc', refused: true },
  },
  {
    ...{ name: 'docker-v2', title: 'Docker 26, control groups v2', kind: 'docker', suite: 'trixie' },
    ...{ packages: ['docker.io', 'containerd', 'runc'], isVirtual: true },
  },
  {
    ...{ name: 'promised-v2', title: 'Docker 26, `vm.overcommit_memory` 1, huge pages, swap, Yama 2', kind: 'docker' },
    ...{ suite: 'trixie', packages: ['docker.io', 'containerd', 'runc'], isVirtual: true, host: PROMISED },
  },
  {
    ...{ name: 'counted-v2', title: 'Docker 26, `vm.overcommit_memory` 2, no huge pages, Yama 3', kind: 'docker' },
    ...{ suite: 'trixie', packages: ['docker.io', 'containerd', 'runc'], isVirtual: true, host: COUNTED },
  },
  {
    ...{ name: 'crun-v2', title: 'Docker 26 with crun, control groups v2', kind: 'docker', suite: 'trixie' },
    ...{ packages: ['docker.io', 'containerd', 'crun'], daemon: CRUN, runtime: 'crun', isVirtual: true },
    ...{ allowed: ['oom'], missing: [SPARED_BY_CRUN] },
  },
  {
    ...{ name: 'podman-v2', title: 'Podman 5, rootful, control groups v2', kind: 'podman', suite: 'trixie' },
    ...{ packages: ['podman', 'crun', 'conmon'], isVirtual: true },
  },
  {
    ...{ name: 'rootless-docker-v2', title: 'Docker 26, rootless, control groups v2', kind: 'docker', suite: 'trixie' },
    ...{ packages: ['docker.io', 'containerd', 'runc', 'rootlesskit'], rootless: true, isVirtual: true },
  },
  {
    ...{ name: 'rootless-podman-v2', title: 'Podman 5, rootless, control groups v2', kind: 'podman', suite: 'trixie' },
    ...{ packages: ['podman', 'crun', 'conmon'], rootless: true, isVirtual: true },
  },
];
