import { expect, test } from 'vitest';
import { findUsageFile, parseStat, parseUsage, treeTime } from './processor.ts';

const V1_MOUNTS = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`;
const V2_MOUNTS = '29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n';

test('the times of a process are found behind a name with spaces and brackets', () => {
  const stat = '7389 (node (main) x) S 7362 7389 7389 0 -1 4194560 1279 0 0 0 12 3 40 5 20 0 1 0 1544308 1044480 146';
  expect(parseStat(stat)).toEqual({ pid: 7389, name: 'node (main) x', parent: 7362, ms: 600 });
});

test('the processor time of a group is counted by the first version of control groups where it has the controller', () => {
  const groups = '4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n0::/docker/abc\n';
  expect(findUsageFile(groups, V1_MOUNTS)).toEqual({
    path: '/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpuacct.usage',
    version: 1,
  });
});

test('the processor time of a group is counted by the second version of control groups otherwise', () => {
  expect(findUsageFile('0::/system.slice/docker-abc.scope\n', V2_MOUNTS)).toEqual({
    path: '/sys/fs/cgroup/system.slice/docker-abc.scope/cpu.stat',
    version: 2,
  });
});

test('a hierarchy that is mounted from a group on is read below that group', () => {
  const mounts = V2_MOUNTS.replace('0:26 /', '0:26 /outer');
  expect(findUsageFile('0::/outer/docker/abc\n', mounts)?.path).toBe('/sys/fs/cgroup/docker/abc/cpu.stat');
  expect(findUsageFile('0::/outer\n', mounts)?.path).toBe('/sys/fs/cgroup/cpu.stat');
});

test('no file is named where no hierarchy counts processor time', () => {
  expect(findUsageFile('1:pids:/docker/abc\n', V1_MOUNTS.replaceAll('cpuacct', 'pids'))).toBeUndefined();
});

test('both versions tell the processor time in milliseconds', () => {
  expect(parseUsage('11400000\n', 1)).toBe(11.4);
  expect(parseUsage('usage_usec 11400\nuser_usec 9000\nsystem_usec 2400\n', 2)).toBe(11.4);
});

test('the time of a process tree is that of all its processes, and of no other', () => {
  const process = (pid: number, parent: number, ms: number) => ({ pid, parent, ms, name: 'x' });
  expect(treeTime(2, [process(1, 0, 1), process(2, 1, 10), process(3, 2, 100), process(4, 3, 1000)])).toBe(1110);
});
