import { describe, expect, test } from 'vitest';
import { GloveboxError } from '../../../errors.ts';
import { largestDiskMb } from '../../../sandbox/disk-sizes.ts';
import { type ContainerSpec, containerOptions, killExecOptions, runnerExecOptions } from './spec.ts';

const MIB = 2 ** 20;

const spec: ContainerSpec = {
  key: 'k3y',
  instance: 'http-8000',
  uid: 12_345,
  image: 'glovebox:abc',
  memoryMb: 1024,
  cpus: 1.5,
  pids: 128,
  diskMb: 512,
  maxLifetimeS: 86_400,
};

function host(change: Partial<ContainerSpec> = {}) {
  return containerOptions({ ...spec, ...change }).HostConfig ?? {};
}

function label(change: Partial<ContainerSpec> = {}): string | undefined {
  return containerOptions({ ...spec, ...change }).Labels?.['glovebox.profile'];
}

function refusal(change: Partial<ContainerSpec>): GloveboxError {
  try {
    containerOptions({ ...spec, ...change });
  } catch (thrown) {
    if (thrown instanceof GloveboxError) return thrown;
    throw thrown;
  }
  throw new Error('it was accepted');
}

describe('what runs', () => {
  const options = containerOptions(spec);

  test.each([
    ['name', 'glovebox-k3y'],
    ['Image', 'glovebox:abc'],
    ['Hostname', 'sandbox'],
    ['User', '65532:65532'],
    ['Entrypoint', ['/bin/sleep']],
    ['Cmd', ['86400']],
    ['WorkingDir', '/'],
    ['Env', ['LANG=C.UTF-8']],
    ['Healthcheck', { Test: ['NONE'] }],
    ['Tty', false],
    ['OpenStdin', false],
    ['StopTimeout', 0],
  ] as const)('%s is %j', (key, value) => {
    expect(options[key]).toEqual(value);
  });

  test('the labels say whose it is and how it was made, and nothing of the session', () => {
    expect(options.Labels).toEqual({
      'glovebox.instance': 'http-8000',
      'glovebox.key': 'k3y',
      'glovebox.uid': '12345',
      'glovebox.profile': expect.stringMatching(/^[0-9a-f]{16}$/),
    });
  });

  test('the profile label is shared by sandboxes that differ only in whose they are', () => {
    expect(label({ key: 'other', uid: 20_000, instance: 'stdio-1' })).toBe(label());
    expect(label({ memoryMb: 2048 })).not.toBe(label());
    expect(label({ image: 'glovebox:def' })).not.toBe(label());
    expect(label({ runtime: 'runsc' })).not.toBe(label());
  });
});

describe('what holds it', () => {
  test.each([
    ['AutoRemove', true],
    ['Init', true],
    ['ReadonlyRootfs', true],
    ['NetworkMode', 'none'],
    ['Dns', ['127.0.0.1']],
    ['IpcMode', 'private'],
    ['CgroupnsMode', 'private'],
    ['CapDrop', ['ALL']],
    ['Memory', 1024 * MIB],
    ['MemorySwap', 1024 * MIB],
    ['NanoCpus', 1.5e9],
    ['PidsLimit', 128],
    ['OomScoreAdj', 500],
    ['ShmSize', 64 * MIB],
    ['LogConfig', { Type: 'none', Config: {} }],
  ])('%s is %j', (key, value) => {
    expect(host()).toHaveProperty(key, value);
  });

  test.each(
    `Binds Mounts VolumesFrom Privileged CapAdd PidMode UTSMode UsernsMode Devices DeviceRequests GroupAdd
     PortBindings PublishAllPorts OomKillDisable CgroupParent ExtraHosts Sysctls`.split(/\s+/),
  )('%s is never given', (key) => {
    expect(host()).not.toHaveProperty(key);
    expect(host({ runtime: 'runsc' })).not.toHaveProperty(key);
  });
});

describe('its seals and sizes', () => {
  test('no-new-privileges stands beside the seccomp profile, which is inline', () => {
    const [first, second] = host().SecurityOpt;
    expect(first).toBe('no-new-privileges');
    expect(JSON.parse(second.replace(/^seccomp=/, ''))).toMatchObject({ defaultAction: 'SCMP_ACT_ERRNO' });
  });

  test('files, descriptors and core dumps are limited, processes of a user never are', () => {
    const limits = Object.fromEntries((host().Ulimits ?? []).map(({ Name, Soft, Hard }) => [Name, [Soft, Hard]]));
    const data = 8 * 1024 * MIB + 128 * 8 * MIB;
    expect(limits).toEqual({
      nofile: [1024, 1024],
      core: [0, 0],
      fsize: [512 * MIB, 512 * MIB],
      data: [data, data],
    });
  });

  test('in a user namespace, where sandboxes share what the kernel counts for its owner, they can use up none of it', () => {
    const { SecurityOpt, Ulimits } = host({ remapped: true });
    expect(SecurityOpt[1]).toContain('"errnoRet":24');
    expect(Ulimits).toEqual([...(host().Ulimits ?? []), { Name: 'sigpending', Soft: 256, Hard: 256 }]);
    expect(label({ remapped: true })).not.toBe(label());
  });

  test('memory that a process may map is never so little that a runtime cannot start', () => {
    const data = (change: Partial<ContainerSpec>) =>
      (host(change).Ulimits ?? []).find(({ Name }) => Name === 'data')?.Hard ?? 0;
    expect(data({ memoryMb: 64, diskMb: 16 })).toBe(4096 * MIB + 128 * 8 * MIB);
    expect(data({ memoryMb: 16_384 })).toBe(8 * 16_384 * MIB + 128 * 8 * MIB);
  });

  test("the workspace and /tmp are the session's own, sized, and allow compiled modules", () => {
    expect(host().Tmpfs).toEqual({
      '/workspace': 'rw,nosuid,nodev,exec,size=512m,nr_inodes=65536,mode=0700,uid=12345,gid=12345',
      '/tmp': 'rw,nosuid,nodev,exec,size=128m,nr_inodes=16384,mode=0700,uid=12345,gid=12345',
    });
  });

  test('masked and read-only paths include what the engine would have set', () => {
    expect(host().MaskedPaths).toEqual(expect.arrayContaining(['/proc/kcore', '/proc/keys', '/sys/firmware']));
    expect(host().MaskedPaths).toContain('/sys/devices/system/cpu/cpu0/thermal_throttle');
    expect(host().ReadonlyPaths).toEqual(expect.arrayContaining(['/proc/sys', '/proc/sysrq-trigger']));
  });
});

describe('under gVisor', () => {
  test.each(['runsc', 'runsc-kvm', 'io.containerd.runsc.v1'])('%s gets room for its own kernel', (runtime) => {
    const gvisor = host({ runtime, memoryMb: 256, diskMb: 64, pids: 64 });
    expect(gvisor).toMatchObject({ Runtime: runtime, Memory: 1024 * MIB, MemorySwap: 1024 * MIB, PidsLimit: 1024 });
  });

  test('the host profile is left out, and never replaced by "unconfined"', () => {
    expect(host({ runtime: 'runsc' }).SecurityOpt).toEqual(['no-new-privileges']);
  });

  test('any other runtime keeps the whole profile', () => {
    expect(host({ runtime: 'crun' })).toMatchObject({ Runtime: 'crun', PidsLimit: 128 });
    expect(host({ runtime: 'crun' }).SecurityOpt).toHaveLength(2);
    expect(host()).not.toHaveProperty('Runtime');
  });
});

test('a workspace that memory cannot hold is refused', () => {
  expect(refusal({ memoryMb: 512, diskMb: 512 }).code).toBe('invalid_input');
  expect(() => containerOptions({ ...spec, memoryMb: 512, diskMb: largestDiskMb(512) })).not.toThrow();
});

test.each([
  { memoryMb: 63, diskMb: 1 },
  { memoryMb: 512.5 },
  { memoryMb: Number.POSITIVE_INFINITY },
  { diskMb: 0 },
  { diskMb: Number.NaN },
  { pids: 0 },
  { pids: -1 },
  { cpus: 0 },
  { cpus: Number.NaN },
  { maxLifetimeS: 0 },
  { maxLifetimeS: 2 ** 31 },
  { uid: 0 },
  { uid: 1000 },
  { uid: 65_532 },
  { key: '' },
  { key: '../x' },
] satisfies Partial<ContainerSpec>[])('%j is refused', (change) => {
  expect(refusal(change).code).toBe('invalid_input');
});

describe('commands in a sandbox', () => {
  test("the runner starts isolated, as the session's user, without a terminal", () => {
    expect(runnerExecOptions(12_345)).toMatchObject({
      Cmd: ['python3', '-I', '-c', expect.any(String), '/opt/glovebox/runner', 'glovebox-runner'],
      User: '12345:12345',
      WorkingDir: '/',
      AttachStdin: true,
      Tty: false,
      Privileged: false,
    });
  });

  test("the kill runs as the session's user, for root without capabilities would end nothing", () => {
    expect(killExecOptions(12_345)).toMatchObject({ User: '12345:12345', Tty: false, Privileged: false });
  });
});
