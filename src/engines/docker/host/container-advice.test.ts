import { expect, test } from 'vitest';
import { adviseOnAccess } from './container-advice.ts';

const socket = { group: 998, mode: 0o140660, groups: [65_532], hostIds: true };

test.each([
  ['a group that it is not in', socket, '--group-add 998'],
  ['a group of no rights', { ...socket, mode: 0o140600 }, 'chmod g+rw'],
  ['a group that it is in', { ...socket, groups: [65_532, 998] }, '--security-opt label=disable'],
  ['an unknown group', { ...socket, group: 65_534, hostIds: false }, '--userns=host'],
  ['the group of nobody', { ...socket, group: 65_534 }, '--group-add 65534'],
])('a socket of %s that may not be used is told with the one flag that is missing', (_kind, access, flag) => {
  const advice = adviseOnAccess(access);
  const flags = ['--group-add', '--userns', 'label=disable', 'chmod'];
  expect(advice).toContain(flag);
  expect(flags.filter((other) => advice.includes(other))).toHaveLength(1);
});
