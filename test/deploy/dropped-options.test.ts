import { randomBytes } from 'node:crypto';
import type Docker from 'dockerode';
import { expect, test } from 'vitest';
import { dockerAssurances } from '../../src/engines/docker/assurances.ts';
import { createDockerClient } from '../../src/engines/docker/connect/connect.ts';
import { DockerDriver } from '../../src/engines/docker/drivers/docker.ts';
import { DockerEngine } from '../../src/engines/docker/engine.ts';
import { containerOptions } from '../../src/engines/docker/hardening/spec.ts';
import { createLog } from '../../src/log.ts';
import { probeSandbox } from '../../src/probe/probe.ts';
import type { Protection } from '../../src/sandbox/assurances.ts';
import { AlteredEngine } from '../support/altered-engine.ts';
import { engine } from '../support/engine-access.ts';

type Options = Readonly<Record<string, unknown>>;

/** Less of each than an engine gives that was asked for none. */
const SIZES = { memoryMb: 64, cpus: 0.5, pids: 64, diskMb: 16, maxLifetimeS: 60 };

/** What is missing in a sandbox that was made without an option, and what the engine does instead. */
const SEEN: Readonly<Record<string, readonly [name: Protection, instead?: (asked: unknown) => unknown]>> = {
  ReadonlyRootfs: ['writable'],
  NetworkMode: ['network', () => 'host'],
  Dns: ['resolver', () => ['192.0.2.1']],
  CapDrop: ['capabilities'],
  SecurityOpt: ['seccomp', (asked) => (asked as string[]).filter((one) => !one.startsWith('seccomp='))],
  MaskedPaths: ['masks'],
  Memory: ['memory'],
  NanoCpus: ['cpu'],
  PidsLimit: ['pids'],
  ShmSize: ['disks'],
  Tmpfs: [
    'inodes',
    (asked) =>
      Object.fromEntries(
        Object.entries(asked as Record<string, string>).map(([path, text]) => [
          path,
          text.replace(/nr_inodes=\d+,/, ''),
        ]),
      ),
  ],
  Ulimits: ['rlimits'],
};

/** Options without which a sandbox is as sealed, and why. */
const UNSEEN: Readonly<Record<string, string>> = {
  AutoRemove: 'What is left is swept.',
  Init: 'The main process ends with its container in any case.',
  IpcMode: 'An engine that is not told otherwise makes it private.',
  CgroupnsMode: 'What is in /sys/fs/cgroup cannot be written, and shows limits only.',
  ReadonlyPaths: 'They belong to root, which code cannot be.',
  MemorySwap: 'It is seen on a machine with swap.',
  OomScoreAdj: 'Each program sets a higher one for itself. What counts is how low it can go, which is seen.',
  LogConfig: 'Only the main process could write to a log, and it says nothing.',
};

/** What a look finds of an engine that answers 201, changes the options that it got, and tells them as it got them. */
async function look(change: (asked: Options) => Options): Promise<readonly string[]> {
  const { driver, image } = await engine();
  let asked: Options = {};
  await using altered = await AlteredEngine.open({
    requests: {
      'POST /containers/create': (body) => {
        const whole = JSON.parse(body) as { readonly HostConfig: Options };
        asked = whole.HostConfig;
        return JSON.stringify({ ...whole, HostConfig: change(asked) });
      },
    },
    answers: {
      'GET /containers/ID/json': (body) => JSON.stringify({ ...(JSON.parse(body) as object), HostConfig: asked }),
    },
  });
  const docker: Docker = createDockerClient({ address: altered.address, source: 'the test' });
  const [profile, log] = [{ image, ...SIZES }, createLog('error')];
  const backend = {
    ...{ engine: new DockerEngine(docker, new DockerDriver(docker), log), profile, log },
    ...{ label: () => `dropped-${randomBytes(4).toString('hex')}`, configuration: { preload: 'none' } as const },
  };
  const { signal } = new AbortController();
  const found = await probeSandbox(backend, dockerAssurances(docker, driver, profile), signal);
  return found.map(({ name }) => name);
}

test('an engine that says 201, drops every option of a sandbox that seals, and tells all as asked is found out for each', async () => {
  const found = await look((asked) => {
    const changed = Object.entries(SEEN).map(([option, [, instead]]) => [option, instead?.(asked[option])]);
    return { ...asked, MemorySwap: undefined, ...Object.fromEntries(changed) };
  });
  expect([...found].sort()).toEqual(
    Object.values(SEEN)
      .map(([name]) => name)
      .sort(),
  );
});

test('a new option of a sandbox is seen when it is dropped, or there is a reason why not', () => {
  const { HostConfig } = containerOptions({ image: 'any', ...SIZES, key: 'any', instance: '', uid: 10_000 });
  expect(Object.keys(HostConfig ?? {}).sort()).toEqual([...Object.keys(SEEN), ...Object.keys(UNSEEN)].sort());
});
