import { describe, expect, test } from 'vitest';
import { EXPECTED_POD, POD, POD_IN_NETWORK_OF_NODE } from '../../test/support/pod-report.ts';
import { EXPECTED, SEALED } from '../../test/support/probe-report.ts';
import type { ExpectedSandbox, Protection, Shortfall } from '../sandbox/assurances.ts';
import { judge } from './judge.ts';
import type { ProbeReport } from './report.ts';

const MIB = 2 ** 20;
const { limits, disks } = SEALED;
const WORKSPACE = { bytes: 64 * MIB, inodes: 8192, uid: 10_007, mode: 0o700, writable: true };

function missing(
  change: Partial<ProbeReport>,
  more: Partial<ExpectedSandbox> = {},
  outside: readonly Shortfall[] = [],
): Protection[] {
  return judge({ ...SEALED, ...change }, { ...EXPECTED, ...more }, outside).map(({ name }) => name);
}

test('a sandbox as it was asked for lacks nothing', () => {
  expect(judge(SEALED, EXPECTED, [])).toEqual([]);
});

test('control groups of version 2 tell the same in other files', () => {
  const told = {
    memory: String(256 * MIB),
    swap: '0',
    memory_and_swap: null,
    pids: '64',
    cpu: '100000 100000',
    group_end: '0',
  };
  expect(missing({ limits: told, swap_kib: 4096 })).toEqual([]);
});

test.each<[string, Protection, Partial<ProbeReport>]>([
  ['the code of root', 'user', { users: [0, 0, 0] }],
  ['a further group', 'user', { users: [10_007, 10_007, 27] }],
  ['the user of the main process', 'user', { users: [65_532] }],
  ['a capability', 'capabilities', { capabilities: { CapBnd: '0000000000000400' } }],
  ['capabilities that are not told', 'capabilities', { capabilities: {} }],
  ['privileges that may grow', 'privileges', { no_new_privileges: false }],
  ['no filter', 'seccomp', { seccomp: '0' }],
  ['a kernel without filters', 'seccomp', { seccomp: null }],
  ['a filter that lets a call pass', 'seccomp', { calls: { ...SEALED.calls, unshare: 'done' } }],
  ['a call of which nothing came back', 'seccomp', { calls: { unshare: '' } }],
  ['a larger memory limit', 'memory', { limits: { ...limits, memory: String(257 * MIB) } }],
  ['no memory limit', 'memory', { limits: { ...limits, memory: 'max' } }],
  ['a memory limit that cannot be read', 'memory', { limits: { ...limits, memory: null } }],
  ['an empty file for a limit', 'memory', { limits: { ...limits, memory: '' } }],
  ['a file that tells of a limit which is not there', 'memory', { taking: { taken: 384 * MIB, ended: false } }],
  ['a memory limit that nobody tried', 'memory', { taking: null }],
  ['swap besides the memory', 'swap', { swap_kib: 4096, limits: { ...limits, memory_and_swap: null } }],
  ['no process limit', 'pids', { limits: { ...limits, pids: 'max' } }],
  ['a process limit that does not hold', 'pids', { flood: { started: 80, refused: null } }],
  ['no processor limit', 'cpu', { limits: { ...limits, cpu: '-1 100000' } }],
  ['no processor limit, of version 2', 'cpu', { limits: { ...limits, cpu: 'max 100000' } }],
  ['a processor limit that cannot be read', 'cpu', { limits: { ...limits, cpu: null } }],
  ['a disk without a size', 'disks', { disks: { ...disks, '/workspace': { ...WORKSPACE, bytes: 0 } } }],
  ['a larger disk', 'disks', { disks: { ...disks, '/workspace': { ...WORKSPACE, bytes: 65 * MIB } } }],
  ['a disk open to all', 'disks', { disks: { ...disks, '/workspace': { ...WORKSPACE, mode: 0o1777 } } }],
  ['no disk', 'disks', { disks: { ...disks, '/dev/shm': null } }],
  ['a disk that counts no files', 'inodes', { disks: { ...disks, '/workspace': { ...WORKSPACE, inodes: 0 } } }],
  ['another place to write', 'writable', { writable: ['/sys/fs/cgroup'] }],
  ['a path that is not masked', 'masks', { shown: ['/sys/kernel'] }],
  ['another interface', 'network', { interfaces: ['lo', 'eth0'] }],
  ['a way out', 'network', { routes: ['tap0'] }],
  ['interfaces that are hidden', 'network', { interfaces: [] }],
  ['a name server', 'resolver', { name_servers: ['10.0.2.3'] }],
  ['no limit of descriptors', 'rlimits', { rlimits: { NOFILE: -1, CORE: 0 } }],
  ['a higher limit', 'rlimits', { rlimits: { NOFILE: 20_000, CORE: 0 } }],
  ['a limit that is not told', 'rlimits', { rlimits: { NOFILE: 1024 } }],
  ['code that the kernel of the machine would spare', 'oom', { oom_score: -998 }],
  ['a score that is not told', 'oom', { oom_score: null }],
  ['a main process in reach', 'main-process', { others: [{ process: 1, done: ['kill'] }] }],
  ['variables of the main process that can be read', 'main-process', { others: [{ process: 1, done: ['environ'] }] }],
  ['a main process of the same user', 'main-process', { others: [] }],
  ['the end of all of a sandbox', 'oom-group', { limits: { ...limits, group_end: '1' }, taking: null }],
  ['a disk that takes more than it has', 'disks', { full: { '/workspace': 'done' } }],
])('%s is told as "%s"', (_what, name, change) => {
  expect(missing(change)).toEqual([name]);
});

describe('what an engine says itself', () => {
  const told = (name: Protection): Shortfall => ({ name, found: 'the engine says so' });

  test('counts, though all looks well from inside', () => {
    expect(missing({}, {}, [told('namespaces'), told('memory')])).toEqual(['namespaces', 'memory']);
  });

  test('is told once with what is seen from inside', () => {
    expect(missing({ interfaces: ['lo', 'eth0'] }, {}, [told('network')])).toEqual(['network']);
  });

  test('of swap and processors does not count where the machine has no more of them', () => {
    expect(missing({ processors: 1, limits: { ...limits, cpu: null } }, {}, [told('swap'), told('cpu')])).toEqual([]);
    expect(missing({ swap_kib: 1 }, {}, [told('swap'), told('cpu')])).toEqual(['swap', 'cpu']);
  });
});

test('memory that goes on in the swap is told as swap, and not as memory', () => {
  expect(missing({ swap_kib: 1 << 20, taking: { taken: 384 * MIB, ended: false } })).toEqual(['swap']);
});

test('a sandbox with a kernel of its own has no filter and meets no limit of memory, but must have the rest', () => {
  const own = { sharesKernel: false, masked: [] };
  const seen = { seccomp: null, calls: {}, flood: null, taking: null, others: [{ process: 1, done: ['environ'] }] };
  const unread = { memory: null, swap: null, memory_and_swap: null, pids: '64', cpu: null, group_end: null };
  expect(missing({ ...seen, limits: unread }, own)).toEqual([]);
  expect(missing({ ...seen, limits: unread, routes: ['eth0'] }, own)).toEqual(['network']);
  expect(missing({ ...seen, limits: { ...unread, pids: '1024' } }, own)).toEqual(['pids']);
  const reached = [{ process: 1, done: ['environ', 'mem'] }];
  expect(missing({ ...seen, limits: unread, others: reached }, own)).toEqual(['main-process']);
});

describe('a limit of processes from above', () => {
  const above = { pids: 256, pidsFromAbove: true };
  const unseen = { ...limits, pids: 'max' };

  test('counts as it was met, though the sandbox does not see it', () => {
    expect(missing({ limits: unseen, flood: { started: 250, refused: 'EAGAIN' } }, above)).toEqual([]);
  });

  test('is told as it is, where it is another than asked for, or none was met', () => {
    const found = (flood: ProbeReport['flood']) =>
      judge({ ...SEALED, limits: unseen, flood }, { ...EXPECTED, ...above }, []);
    expect(found({ started: 1020, refused: 'EAGAIN' })).toEqual([
      { name: 'pids', found: '1020 processes could be started, not 256' },
    ]);
    expect(found({ started: 4112, refused: null })).toEqual([
      { name: 'pids', found: '4112 processes could be started, and more were not tried' },
    ]);
  });
});

describe('a main process of the user of the code', () => {
  const same = { sharesUser: true };
  const withstands = { others: [], main: { uid: 10_007, done: [], state: 'S' } };

  test('is no shortfall where it withstands all that code can do', () => {
    expect(missing(withstands, same)).toEqual([]);
  });

  test.each([
    ['was not looked at', null],
    ['hides', { uid: null, done: [], state: 'S' }],
    ['can be read', { uid: 10_007, done: ['environ'], state: 'S' }],
    ['can be written through its descriptors', { uid: 10_007, done: ['fd'], state: 'S' }],
    ['can be stopped', { uid: 10_007, done: [], state: 'T' }],
    ['has ended', { uid: 10_007, done: [], state: '' }],
  ])('is one where it %s', (_what, main) => {
    expect(missing({ ...withstands, main }, same)).toEqual(['main-process']);
  });
});

test('a filter that refuses what was asked of it lacks nothing, though a stricter one would refuse more', () => {
  const calls = { unshare: 'EPERM', keyctl: 'EPERM', ptrace: 'done', netlink: 'done' };
  expect(missing({ calls }, { refusedCalls: ['unshare', 'keyctl'] })).toEqual([]);
  expect(missing({ calls })).toEqual(['seccomp']);
});

describe('a pod', () => {
  test('in which all holds lacks nothing', () => {
    expect(judge(POD, EXPECTED_POD, [])).toEqual([]);
  });

  test('in the network of its node lacks that alone', () => {
    expect(judge(POD_IN_NETWORK_OF_NODE, EXPECTED_POD, [])).toEqual([
      {
        name: 'network',
        found:
          'tcp 10.112.1.1 443 (answer), tcp 10.111.1.12 10250 (answer), udp 10.111.1.12 9 (ECONNREFUSED) can be reached',
      },
    ]);
  });

  test('with a kernel of its own lacks a limit of processes that could be seen', () => {
    const seen = { ...POD, seccomp: '0', flood: null, taking: null };
    expect(judge(seen, { ...EXPECTED_POD, sharesKernel: false }, []).map(({ name }) => name)).toEqual(['pids']);
  });
});
