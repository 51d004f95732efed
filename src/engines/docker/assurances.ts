import { createHash } from 'node:crypto';
import type Docker from 'dockerode';
import { type Assurances, type ExpectedSandbox, type Shortfall, TRIED_CALLS } from '../../sandbox/assurances.ts';
import { diskSizesFor } from '../../sandbox/disk-sizes.ts';
import type { SandboxProfile } from '../../sandbox/engine.ts';
import { isGvisor } from '../hardening/sandbox-limits.ts';
import { SESSION_UIDS } from '../session-users.ts';
import { askAgain, explain } from './answer.ts';
import { readFacts } from './connect/check-engine.ts';
import type { ContainerDriver } from './drivers/driver.ts';
import { compareMade } from './hardening/compare.ts';
import { MASKED_PATHS } from './hardening/masked-paths.ts';
import { containerOptions, inodesOf } from './hardening/spec.ts';
import { statusOf } from './inspect.ts';
import { watchEngine } from './watch-engine.ts';

const MIB = 2 ** 20;

/** What an engine says of itself and that stays the same while it runs unchanged. Podman's ID is another each time. */
const LASTING = [
  ...['Name', 'ServerVersion', 'KernelVersion', 'OperatingSystem', 'Driver', 'DockerRootDir', 'NCPU'],
  ...['CgroupDriver', 'CgroupVersion', 'Runtimes', 'DefaultRuntime', 'SecurityOptions', 'Rootless', 'InitBinary'],
  ...['MemoryLimit', 'PidsLimit', 'CpuCfsQuota', 'SwapLimit', 'Warnings', 'RuncCommit', 'ContainerdCommit'],
];

/** What of a driver its sandboxes depend on. */
export type DriverKind = Pick<ContainerDriver, 'kind' | 'remapped'>;

/** What is masked on each machine alike, and few paths: the others are a hundred for as many processors. */
const FEW_MASKED_PATHS = MASKED_PATHS.filter((path) => !path.startsWith('/sys/devices/system/cpu/'));

/** The assurances of a Docker-compatible engine for its sandboxes. */
export function dockerAssurances(
  docker: Docker,
  driver: DriverKind,
  profile: SandboxProfile,
): Assurances<SandboxProfile> {
  return {
    expect: (probed) => expectSandbox(probed, driver),
    inspect: async (ref, probed) => {
      // The driver of Podman compares what it made each time.
      return driver.kind === 'podman' ? [] : await inspectSandbox(docker, ref, optionsOf(probed, driver));
    },
    fingerprint: () => fingerprintOf(docker, driver, profile),
    // A connection would keep a service of Podman from ending while it is idle.
    watch: async (onChange, signal) => (driver.kind === 'podman' ? false : await watchEngine(docker, onChange, signal)),
  };
}

/** The options of an arbitrary sandbox of that profile. */
function optionsOf(profile: SandboxProfile, { remapped }: DriverKind): Docker.ContainerCreateOptions {
  return containerOptions({ ...profile, remapped, key: 'any', instance: '', uid: SESSION_UIDS.first });
}

/** What must hold, taken from the options themselves. */
export function expectSandbox(profile: SandboxProfile, driver: DriverKind): ExpectedSandbox {
  const { Memory = 0, PidsLimit, Ulimits = [] } = optionsOf(profile, driver).HostConfig ?? {};
  const { workspaceMb, tmpMb, shmMb } = diskSizesFor(profile.memoryMb, profile.diskMb);
  const isPodman = driver.kind === 'podman';
  const sharesKernel = !isGvisor(profile.runtime);
  const own = (path: string, sizeMb: number) => ({
    ...{ path, bytes: sizeMb * MIB, inodes: inodesOf(sizeMb), private: true },
  });
  return {
    uids: SESSION_UIDS,
    memoryBytes: Memory,
    // In gVisor, processes are counted inside; the engine counts its threads as well.
    pids: sharesKernel ? (PidsLimit ?? 0) : profile.pids,
    cpus: profile.cpus,
    refusedCalls: TRIED_CALLS,
    sharesKernel,
    disks: [
      own('/workspace', workspaceMb),
      own('/tmp', tmpMb),
      // Docker gives it no limit of files.
      { path: '/dev/shm', bytes: shmMb * MIB, private: false, ...(isPodman ? { inodes: inodesOf(shmMb) } : {}) },
    ],
    masked: sharesKernel ? FEW_MASKED_PATHS : [],
    rlimits: Object.fromEntries(Ulimits.map(({ Name = '', Hard = 0 }) => [Name.toUpperCase(), Hard])),
  };
}

/** A proxy in front of the engine that forbids the look has itself checked what was asked of the engine. */
async function inspectSandbox(
  docker: Docker,
  ref: string,
  asked: Docker.ContainerCreateOptions,
): Promise<readonly Shortfall[]> {
  const [id = ''] = ref.split('/');
  try {
    const made: unknown = await askAgain(() => docker.getContainer(id).inspect());
    return compareMade(asked, made);
  } catch (error) {
    if (statusOf(error) === 403) return [];
    throw error;
  }
}

async function fingerprintOf(docker: Docker, driver: DriverKind, profile: SandboxProfile): Promise<string | undefined> {
  const [version, facts, image] = await explain(
    Promise.all([
      askAgain(() => docker.version()),
      readFacts(docker),
      askAgain(() => docker.getImage(profile.image).inspect()),
    ]),
  );
  const said = Object.entries(facts);
  // Of an image that has no name of its own, another may have taken the place.
  const { Id: imageId }: { readonly Id?: unknown } = image;
  if (said.length === 0 || typeof imageId !== 'string') return undefined;
  const names = driver.kind === 'podman' ? LASTING : [...LASTING, 'ID'];
  const lasting = said.filter(([name]) => names.includes(name)).sort(([one], [other]) => (one < other ? -1 : 1));
  const parts = [driver.kind, version, lasting, imageId, optionsOf(profile, driver)];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}
