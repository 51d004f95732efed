import type { Protection } from '../sandbox/assurances.ts';

const LIMITS =
  'A rootless engine can limit it only with control groups of version 2: run the engine as root, or boot with systemd.unified_cgroup_hierarchy=1.';
const OPTIONS =
  'Use Docker Engine 20.10 or newer, or Podman 5 or newer, without a proxy that changes what it is asked.';
const RUNTIME = 'Leave out GLOVEBOX_RUNTIME, or use another release of that runtime.';

/** What to do about each protection that is missing. */
export const ADVICE: Readonly<Record<Protection, string>> = {
  user: 'Use an image that is built from sandbox-image/, and an engine that starts processes as the user it is asked for.',
  capabilities: OPTIONS,
  privileges: OPTIONS,
  seccomp: 'Use a kernel and an engine with seccomp ("docker info" lists it), and do not set seccomp=unconfined.',
  namespaces: OPTIONS,
  memory: `${LIMITS} Elsewhere, boot with cgroup_enable=memory.`,
  swap: 'Boot with swapaccount=1, use control groups of version 2, or turn the swap of the machine off.',
  pids: LIMITS,
  cpu: `${LIMITS} There it needs the cpu controller, too (Delegate=cpu in its systemd unit). Or set GLOVEBOX_CPUS to the number of processors of the machine.`,
  disks: OPTIONS,
  inodes:
    'gVisor counts no files: the memory of a sandbox bounds them. Use the default runtime of the engine, or allow it.',
  writable: RUNTIME,
  masks: OPTIONS,
  network: 'Use an engine that gives a container no network when it is asked for none.',
  resolver: 'Use an engine that writes /etc/resolv.conf as it is asked to.',
  rlimits: 'Use an engine that sets the resource limits it is asked for: rootless ones may lack the right to.',
  oom: 'The engine starts what it adds to a sandbox with its own protection from the killer of the kernel, as crun does for Docker: leave out GLOVEBOX_RUNTIME, or use runc.',
  'oom-group':
    'The engine has the kernel end all of a sandbox when its memory runs out: set memory.oom.group of its control groups to 0.',
  'main-process': RUNTIME,
};
