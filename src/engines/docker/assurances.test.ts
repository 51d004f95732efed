import Dockerode from 'dockerode';
import { expect, test } from 'vitest';
import { keepConnections } from '../../../test/support/kept-connections.ts';
import { dockerAssurances, expectSandbox } from './assurances.ts';

const MIB = 2 ** 20;
const PROFILE = { image: 'image', memoryMb: 512, cpus: 1, pids: 96, diskMb: 128, maxLifetimeS: 60 };
const DOCKER = { kind: 'docker', remapped: false } as const;
const VERSION = { Version: '28.5.2', ApiVersion: '1.51' };
const INFO = { ID: 'a', KernelVersion: '6.12', SecurityOptions: ['name=seccomp'], Containers: 3, SystemTime: 'now' };

interface Answers {
  readonly info?: object;
  readonly image?: string | null;
  /** HTTP status with which a look at a container is refused. */
  readonly refuses?: number;
}

function open({ info = INFO, image = 'sha256:1', refuses = 0 }: Answers = {}) {
  return Object.assign(new Dockerode(), {
    version: async () => VERSION,
    info: async () => info,
    getImage: () => ({ inspect: async () => ({ Id: image }) }),
    getContainer: () => ({
      inspect: () => Promise.reject(Object.assign(new Error('refused'), { statusCode: refuses })),
    }),
  });
}

const fingerprint = (answers: Answers = {}, profile = PROFILE, kind: 'docker' | 'podman' = 'docker') =>
  dockerAssurances(open(answers), { kind, remapped: false }, profile).fingerprint();

test('what must hold is what the options ask for', () => {
  expect(expectSandbox(PROFILE, DOCKER)).toMatchObject({
    ...{ memoryBytes: 512 * MIB, pids: 96, cpus: 1, sharesKernel: true },
    disks: [
      { path: '/workspace', bytes: 128 * MIB, inodes: 16_384, private: true },
      { path: '/tmp', bytes: 32 * MIB, inodes: 4096, private: true },
      { path: '/dev/shm', bytes: 32 * MIB, private: false },
    ],
    masked: expect.arrayContaining(['/proc/kcore', '/sys/kernel']),
    rlimits: { NOFILE: 1024, CORE: 0, FSIZE: 256 * MIB, DATA: expect.any(Number) },
  });
  expect(expectSandbox(PROFILE, { kind: 'podman', remapped: false }).disks.at(-1)).toMatchObject({
    path: '/dev/shm',
    inodes: 4096,
  });
});

test('in a user namespace it must have a limit of pending signals, too', () => {
  const { rlimits } = expectSandbox(PROFILE, { kind: 'docker', remapped: true });
  expect(rlimits).toMatchObject({ SIGPENDING: 256 });
});

test('gVisor has a kernel of its own, which needs memory, and counts processes inside', () => {
  const expected = expectSandbox({ ...PROFILE, runtime: 'runsc' }, DOCKER);
  expect(expected).toMatchObject({ sharesKernel: false, memoryBytes: 1024 * MIB, pids: 96, masked: [] });
});

test('an engine is the same while what it says of itself is, but for its load', async () => {
  const first = await fingerprint();
  expect(first).toMatch(/^[0-9a-f]{64}$/);
  expect(await fingerprint({ info: { ...INFO, Containers: 9, SystemTime: 'later' } })).toBe(first);
});

test.each<[string, Answers, object]>([
  ['engine', { info: { ...INFO, ID: 'b' } }, {}],
  ['kernel', { info: { ...INFO, KernelVersion: '6.18' } }, {}],
  ['way to run it', { info: { ...INFO, SecurityOptions: ['name=seccomp', 'name=rootless'] } }, {}],
  ['image of the same name', { image: 'sha256:2' }, {}],
  ['size of sandboxes', {}, { pids: 97 }],
])('another %s is looked at anew', async (_what, answers, change) => {
  expect(await fingerprint(answers, { ...PROFILE, ...change })).not.toBe(await fingerprint());
});

test('Podman, whose ID is another each time, is known again', async () => {
  const [one, other] = [{ info: { ...INFO, ID: 'x' } }, { info: { ...INFO, ID: 'y' } }];
  expect(await fingerprint(one, PROFILE, 'podman')).toBe(await fingerprint(other, PROFILE, 'podman'));
});

test('an engine that tells nothing of itself or of the image, or an empty body, is not known again', async () => {
  expect(await fingerprint({ info: {} })).toBeUndefined();
  expect(await fingerprint({ image: null })).toBeUndefined();
});

test('a proxy that forbids the look from outside has checked what was asked; other errors count', async () => {
  expect(await dockerAssurances(open({ refuses: 403 }), DOCKER, PROFILE).inspect('id/10000/key', PROFILE)).toEqual([]);
  await expect(
    dockerAssurances(open({ refuses: 500 }), DOCKER, PROFILE).inspect('id/10000/key', PROFILE),
  ).rejects.toThrow('refused');
});

test('a look at an engine whose kept connections have all broken was refused as no answer', async () => {
  using engine = await keepConnections();
  const { fingerprint, inspect } = dockerAssurances(engine.docker, DOCKER, PROFILE);
  const before = await fingerprint();
  expect(before).toMatch(/^[0-9a-f]{64}$/);
  expect(engine.connections()).toBe(3);
  engine.deafen();
  expect(await fingerprint()).toBe(before);
  engine.deafen();
  expect(await inspect('id/10000/key', PROFILE)).toMatchObject([{ name: 'namespaces' }]);
});
