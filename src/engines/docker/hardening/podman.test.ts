import { describe, expect, test } from 'vitest';
import { GloveboxError } from '../../../errors.ts';
import { findDropped, type MadeContainer, podmanDiskNames, podmanDisks, podmanOptions } from './podman.ts';
import type { ContainerSpec } from './spec.ts';

const MIB = 2 ** 20;

const spec: ContainerSpec = {
  ...{ key: 'k3y', instance: 'http-8000', uid: 12_345, image: 'glovebox:abc' },
  ...{ memoryMb: 1024, cpus: 1.5, pids: 128, diskMb: 512, maxLifetimeS: 86_400 },
};
const PROFILE = '/state/seccomp.json';
const options = podmanOptions(spec, PROFILE);

describe('a container of Podman', () => {
  test.each([
    ['name', 'glovebox-k3y'],
    ['user', '65532:65532'],
    ['entrypoint', ['/bin/sleep']],
    ['command', ['86400']],
    ['image_volume_mode', 'ignore'],
    ['remove', true],
    ['init', true],
    ['read_only_filesystem', true],
    ['read_write_tmpfs', false],
    ['netns', { nsmode: 'none' }],
    ['ipcns', { nsmode: 'private' }],
    ['cgroupns', { nsmode: 'private' }],
    ['cap_drop', ['ALL']],
    ['no_new_privileges', true],
    ['seccomp_profile_path', '/state/seccomp.json'],
    ['oom_score_adj', 500],
    ['log_configuration', { driver: 'none' }],
  ] as const)('%s is %j', (key, value) => {
    expect(options[key]).toEqual(value);
  });

  test('has limits of memory without swap, of processors and of processes', () => {
    expect(options.resource_limits).toEqual({
      memory: { limit: 1024 * MIB, swap: 1024 * MIB },
      cpu: { period: 100_000, quota: 150_000 },
      pids: { limit: 128 },
    });
  });

  test('has limits of descriptors, core dumps and files, and none of processes by user', () => {
    expect(options.r_limits).toEqual([
      { type: 'NOFILE', soft: 1024, hard: 1024 },
      { type: 'CORE', soft: 0, hard: 0 },
      { type: 'FSIZE', soft: 512 * MIB, hard: 512 * MIB },
      { type: 'DATA', soft: 9 * 1024 * MIB, hard: 9 * 1024 * MIB },
    ]);
  });

  test("hides what Docker's hides, and the resolver of the image's builder", () => {
    expect(options.mask).toEqual(expect.arrayContaining(['/proc/cmdline', '/sys/kernel', '/dev/mqueue']));
    expect(options.mask).toContain('/etc/resolv.conf');
  });

  test.each(
    'privileged cap_add devices mounts overlay_volumes unmask sysctl userns portmappings groups secrets'.split(' '),
  )('%s is never given', (key) => {
    expect(options).not.toHaveProperty(key);
  });

  test('sandboxes that differ only in whose they are share a profile label', () => {
    const label = (change: Partial<ContainerSpec>) =>
      podmanOptions({ ...spec, ...change }, PROFILE).labels['glovebox.profile'];
    expect(label({ key: 'other', uid: 20_000, instance: 'stdio-1' })).toBe(label({}));
    expect(label({ memoryMb: 2048 })).not.toBe(label({}));
  });

  test('a size out of range is refused', () => {
    expect(() => podmanOptions({ ...spec, pids: 0 }, PROFILE)).toThrow(GloveboxError);
  });
});

describe('the disks', () => {
  test("are volumes with a size, a limit of files and an owner; only the session's own can run programs", () => {
    expect(podmanDisks(spec).map(({ target, options: given, executable }) => [target, given, executable])).toEqual([
      ['/workspace', 'nosuid,nodev,size=512m,nr_inodes=65536,mode=0700,uid=12345,gid=12345', true],
      ['/tmp', 'nosuid,nodev,size=128m,nr_inodes=16384,mode=0700,uid=12345,gid=12345', true],
      ['/dev/shm', 'nosuid,nodev,size=64m,nr_inodes=8192,mode=1777,uid=0,gid=0', false],
    ]);
  });

  test('have the names by which they are removed', () => {
    expect(podmanDisks(spec).map(({ name }) => name)).toEqual(podmanDiskNames(spec.key));
    expect(options.volumes.map(({ Name }) => Name)).toEqual(podmanDiskNames(spec.key));
  });
});

describe('a container that was made', () => {
  const made: MadeContainer = {
    HostConfig: {
      ...{ Memory: 1024 * MIB, MemorySwap: 1024 * MIB, CpuPeriod: 100_000, CpuQuota: 150_000, PidsLimit: 128 },
      ...{ NetworkMode: 'none', IpcMode: 'private', PidMode: 'private', ReadonlyRootfs: true, Privileged: false },
      ...{ Init: true, SecurityOpt: ['no-new-privileges'] },
      Ulimits: [
        { Name: 'RLIMIT_NOFILE', Soft: 1024, Hard: 1024 },
        { Name: 'RLIMIT_CORE', Soft: 0, Hard: 0 },
        { Name: 'RLIMIT_FSIZE', Soft: 512 * MIB, Hard: 512 * MIB },
        { Name: 'RLIMIT_DATA', Soft: 9 * 1024 * MIB, Hard: 9 * 1024 * MIB },
        { Name: 'RLIMIT_NPROC', Soft: 4096, Hard: 4096 },
      ],
      Binds: options.volumes.map(({ Name, Dest }) => `${Name}:${Dest}:rw,rprivate`),
    },
  };

  test('lacks nothing if it is as asked', () => {
    expect(findDropped(options, made)).toEqual([]);
  });

  test.each([
    ['Memory', { Memory: 0 }, ['Memory']],
    ['PidsLimit', { PidsLimit: 0 }, ['PidsLimit']],
    ['NetworkMode', { NetworkMode: 'bridge' }, ['NetworkMode']],
    ['ReadonlyRootfs', { ReadonlyRootfs: false }, ['ReadonlyRootfs']],
    ['all limits of processes', { Ulimits: [] }, ['Ulimits NOFILE', 'Ulimits CORE', 'Ulimits FSIZE', 'Ulimits DATA']],
    ['a disk', { Binds: made.HostConfig.Binds?.slice(1) ?? [] }, ['the disk /workspace']],
    ['no-new-privileges', { SecurityOpt: null }, ['no-new-privileges']],
  ])('is told by name when it lacks %s', (_what, change, dropped) => {
    expect(findDropped(options, { HostConfig: { ...made.HostConfig, ...change } })).toEqual(dropped);
  });
});
