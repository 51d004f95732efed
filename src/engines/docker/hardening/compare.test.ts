import { expect, test } from 'vitest';
import { compareMade } from './compare.ts';
import { containerOptions } from './spec.ts';

const ASKED = containerOptions({
  ...{ key: 'k', instance: 'i', uid: 10_001, image: 'image' },
  ...{ memoryMb: 256, cpus: 0.5, pids: 64, diskMb: 64, maxLifetimeS: 60 },
});
const AS_ASKED = { ...ASKED.HostConfig, Privileged: false, Binds: null, PidMode: '', UTSMode: '', UsernsMode: '' };

function names(change: object): string[] {
  return compareMade(ASKED, { HostConfig: { ...AS_ASKED, ...change } }).map(({ name }) => name);
}

test('a container as it was asked for differs in nothing', () => {
  expect(names({})).toEqual([]);
});

test.each<[object, string]>([
  [{ Memory: 0 }, 'memory'],
  [{ MemorySwap: -1 }, 'swap'],
  [{ PidsLimit: null }, 'pids'],
  [{ NanoCpus: 0 }, 'cpu'],
  [{ ReadonlyRootfs: false }, 'writable'],
  [{ NetworkMode: 'bridge' }, 'network'],
  [{ IpcMode: 'shareable' }, 'namespaces'],
  [{ CgroupnsMode: 'host' }, 'namespaces'],
  [{ PidMode: 'host' }, 'namespaces'],
  [{ UsernsMode: 'host' }, 'namespaces'],
  [{ Privileged: true }, 'privileges'],
  [{ CapAdd: ['NET_ADMIN'] }, 'capabilities'],
  [{ Binds: ['/:/host'] }, 'writable'],
])('an engine that says 201 and makes %j of it lacks "%s"', (change, name) => {
  expect(names(change)).toEqual([name]);
});

test.each([[undefined], [''], [{}], [{ HostConfig: null }]])(
  'an answer without the options, %j, is no word',
  (made) => {
    expect(compareMade(ASKED, made)).toMatchObject([{ name: 'namespaces' }]);
  },
);

test('a sandbox in another runtime than was asked for is told', () => {
  const asked = { ...ASKED, HostConfig: { ...ASKED.HostConfig, Runtime: 'runsc' } };
  const made = { HostConfig: { ...AS_ASKED, Runtime: 'runc' } };
  expect(compareMade(asked, made)).toMatchObject([{ name: 'seccomp', found: expect.stringContaining('runc') }]);
});
