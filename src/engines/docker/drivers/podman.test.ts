import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type Docker from 'dockerode';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Protection } from '../../../sandbox/assurances.ts';
import { seccompProfile } from '../../hardening/seccomp.ts';
import { podmanOptions } from '../hardening/podman.ts';
import { PodmanDriver } from './podman.ts';
import { PodmanDisks } from './podman-disks.ts';

const SPEC = {
  ...{ key: 'k3y', instance: 'test', image: 'image', uid: 12_345 },
  ...{ memoryMb: 256, cpus: 1, pids: 64, diskMb: 64, maxLifetimeS: 60 },
};
const LONG_AGO = '2020-01-01T00:00:00Z';

let directory: string;
beforeEach(() => {
  directory = join(mkdtempSync(join(tmpdir(), 'gbx-podman-')), 'state');
});
afterEach(() => rmSync(join(directory, '..'), { recursive: true }));

/** What Podman answers: a container as it was asked for, but for `change`. */
function made(change: object = {}, remapped = false) {
  const { resource_limits: limits, r_limits, volumes } = podmanOptions({ ...SPEC, remapped }, '');
  return {
    HostConfig: {
      ...{ Memory: limits.memory.limit, MemorySwap: limits.memory.swap, PidsLimit: limits.pids.limit },
      ...{ CpuPeriod: limits.cpu.period, CpuQuota: limits.cpu.quota, NetworkMode: 'none', IpcMode: 'private' },
      ...{
        PidMode: 'private',
        ReadonlyRootfs: true,
        Privileged: false,
        Init: true,
        SecurityOpt: ['no-new-privileges'],
      },
      Ulimits: r_limits.map(({ type, soft, hard }) => ({ Name: `RLIMIT_${type}`, Soft: soft, Hard: hard })),
      Binds: volumes.map(({ Name, Dest }) => `${Name}:${Dest}:rw`),
      ...change,
    },
  };
}

interface Answers {
  readonly change?: object;
  /** Message and status of the answer to the creation of a container. */
  readonly refusal?: string;
  readonly status?: number;
  /** Whether it answers the look at a container with an empty body. */
  readonly isSilent?: boolean;
  /** Of every exec. */
  readonly exitCode?: number;
}

/** A Podman that notes what it was asked for. */
function openPodman({ change = {}, isSilent = false, refusal, status = 500, exitCode = 0 }: Answers = {}) {
  const disks = new Map<string, { CreatedAt: string; Labels: Record<string, string> }>();
  const removed: string[] = [];
  const seen: unknown[] = [];
  const inUse = new Set<string>();
  /** Disks whose removal is refused. */
  const broken = new Set<string>();
  const fake = {
    createVolume: async ({ Name, Labels }: { Name: string; Labels: Record<string, string> }) => {
      disks.set(Name, { CreatedAt: new Date().toISOString(), Labels });
    },
    getVolume: (name: string) => ({
      inspect: async () => {
        if (!disks.has(name)) throw Object.assign(new Error('no such volume'), { statusCode: 404 });
      },
      remove: async () => {
        if (broken.has(name)) throw Object.assign(new Error('no such volume'), { statusCode: 500 });
        if (inUse.has(name)) throw Object.assign(new Error('volume is being used'), { statusCode: 409 });
        if (!disks.delete(name)) throw Object.assign(new Error('no such volume'), { statusCode: 404 });
      },
    }),
    listVolumes: async () => ({ Volumes: [...disks].map(([Name, disk]) => ({ Name, ...disk })) }),
    listContainers: async () => [{ Labels: { 'glovebox.key': 'alive' } }],
    getContainer: (id: string) => ({
      id,
      inspect: async () => (isSilent ? Buffer.alloc(0) : made(change)),
      remove: async () => void removed.push(id),
      start: async () => void seen.push('start'),
      exec: async ({ Cmd }: { Cmd: string[] }) => {
        seen.push(Cmd);
        return { id: 'exec', start: async () => Readable.from([]), inspect: async () => ({ ExitCode: exitCode }) };
      },
    }),
    modem: {
      dial: ({ options }: { options: unknown }, done: (error: unknown, answer?: unknown) => void) => {
        seen.push(options);
        if (refusal) done(Object.assign(new Error(refusal), { statusCode: status }));
        else done(undefined, { Id: 'made' });
      },
    },
  };
  return { docker: fake as unknown as Docker, disks, removed, seen, inUse, broken };
}

function open(podman: ReturnType<typeof openPodman>, cgroupVersion = '2'): PodmanDriver {
  return new PodmanDriver(podman.docker, { directory, cgroupVersion });
}

describe('the creation of a sandbox', () => {
  test('makes its disks, and its filter as a file that nobody else can write', async () => {
    const podman = openPodman();
    expect((await open(podman).create(SPEC)).id).toBe('made');
    expect([...podman.disks.keys()]).toEqual(['glovebox-k3y-workspace', 'glovebox-k3y-tmp', 'glovebox-k3y-shm']);
    const [{ seccomp_profile_path: path = '' } = {}] = podman.seen as [{ seccomp_profile_path?: string }?];
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(seccompProfile());
    expect([statSync(path).mode & 0o777, statSync(directory).mode & 0o777]).toEqual([0o600, 0o700]);
  });

  test('without root has a filter and limits for user namespaces', async () => {
    const podman = openPodman({ change: made({}, true).HostConfig });
    const driver = new PodmanDriver(podman.docker, { directory, cgroupVersion: '2', remapped: true });
    await driver.create(SPEC);
    const path = join(directory, readdirSync(directory)[0] ?? '');
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(seccompProfile({ remapped: true }));
  });

  test.each([
    ['removed it', (path: string) => rmSync(path)],
    ['put one there that allows all', (path: string) => writeFileSync(path, '{"defaultAction":"SCMP_ACT_ALLOW"}')],
  ])('writes the filter again after somebody has %s', async (_what, spoil) => {
    const driver = open(openPodman());
    await driver.create(SPEC);
    const path = join(directory, readdirSync(directory)[0] ?? '');
    spoil(path);
    await driver.create(SPEC);
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(seccompProfile());
    expect(readdirSync(directory)).toHaveLength(1);
  });

  test('is refused when Podman dropped a limit without a word, and leaves nothing', async () => {
    const podman = openPodman({ change: { Memory: 0, PidsLimit: 0 } });
    await expect(open(podman).create(SPEC)).rejects.toMatchObject({
      code: 'engine_unavailable',
      message: 'Podman does not give a sandbox what was asked for: Memory, PidsLimit.',
    });
    expect([podman.removed, podman.disks.size]).toEqual([['made'], 0]);
  });

  test('is refused when Podman does not tell how it made it, and leaves nothing', async () => {
    const podman = openPodman({ isSilent: true });
    await expect(open(podman).create(SPEC)).rejects.toMatchObject({
      code: 'engine_unavailable',
      message: 'The container engine does not tell how it made a sandbox.',
    });
    expect([podman.removed, podman.disks.size]).toEqual([['made'], 0]);
  });

  test('is not refused for what may be missing, by name, and is for the rest', async () => {
    const podman = openPodman({ change: { Memory: 0, PidsLimit: 0 } });
    const driver = (...allowMissing: Protection[]) =>
      new PodmanDriver(podman.docker, { directory, cgroupVersion: '2', allowMissing });
    await expect(driver('pids').create(SPEC)).rejects.toThrow('what was asked for: Memory.');
    expect((await driver('pids', 'memory').create(SPEC)).id).toBe('made');
  });

  test('says what to do where Podman cannot read the filter, and leaves no disks', async () => {
    const podman = openPodman({ refusal: 'opening seccomp profile failed: open /x: no such file or directory' });
    await expect(open(podman).create(SPEC)).rejects.toMatchObject({
      code: 'engine_unavailable',
      hint: expect.stringContaining('outside of containers'),
    });
    expect(podman.disks.size).toBe(0);
  });
});

test('an engine that was started again as Docker gets no sandbox, and none is taken for lost', async () => {
  const podman = openPodman({ refusal: 'page not found', status: 404 });
  await expect(open(podman).create(SPEC)).rejects.toMatchObject({
    code: 'engine_unavailable',
    message: 'The container engine is no longer Podman.',
  });
  expect(podman.disks.size).toBe(0);
});

describe('the start of a sandbox', () => {
  const seal = ['/bin/chmod', '0755', '/sys/fs/cgroup'];

  test.each([
    ['1', ['start', seal]],
    ['2', ['start']],
  ])('on control groups of version %s closes what crun leaves open there', async (version, calls) => {
    const podman = openPodman();
    await open(podman, version).start(podman.docker.getContainer('made'));
    expect(podman.seen).toEqual(calls);
  });

  test('fails when that cannot be closed', async () => {
    const podman = openPodman({ exitCode: 1 });
    const started = open(podman, '1').start(podman.docker.getContainer('made'));
    await expect(started).rejects.toMatchObject({ code: 'engine_unavailable' });
  });
});

describe('disks', () => {
  const disk = (key: string, CreatedAt: string) => ({ CreatedAt, Labels: { 'glovebox.key': key } });

  test('of a sandbox go with it, also when some are gone or in use', async () => {
    const podman = openPodman();
    const driver = open(podman);
    await driver.create(SPEC);
    podman.disks.delete('glovebox-k3y-tmp');
    podman.inUse.add('glovebox-k3y-shm');
    await driver.discard(SPEC.key);
    expect([...podman.disks.keys()]).toEqual(['glovebox-k3y-shm']);
  });

  test('that two calls remove at once, which Podman answers once with an error, are gone for both', async () => {
    const podman = openPodman();
    podman.broken.add('glovebox-k3y-tmp');
    await open(podman).discard(SPEC.key);
    podman.disks.set('glovebox-k3y-tmp', disk('k3y', LONG_AGO));
    await expect(open(podman).discard(SPEC.key)).rejects.toThrow('no such volume');
  });

  test('that a sandbox left which ended by itself are swept; those of others, and new ones, are not', async () => {
    const podman = openPodman();
    podman.disks.set('left', disk('dead', LONG_AGO));
    podman.disks.set('of another', disk('alive', LONG_AGO));
    podman.disks.set('new', disk('starting', new Date().toISOString()));
    await new PodmanDisks(podman.docker).sweep();
    expect([...podman.disks.keys()]).toEqual(['of another', 'new']);
  });
});

test('the folder of the filter is made only for a sandbox', () => {
  open(openPodman());
  expect(existsSync(directory)).toBe(false);
});
