import { expect, test } from 'vitest';
import { compareVersions, isPrerelease, parseVersion, type Version } from './version.ts';

function version(text: string): Version {
  const parsed = parseVersion(text);
  if (!parsed) throw new Error(`${text} was not read`);
  return parsed;
}

/** From PEP 440, "Summary of permitted suffixes and relative ordering", and beyond. */
const ASCENDING = [
  '1.dev0',
  '1.0.dev456',
  '1.0a1',
  '1.0a2.dev456',
  '1.0a12.dev456',
  '1.0a12',
  '1.0b1.dev456',
  '1.0b2',
  '1.0b2.post345.dev456',
  '1.0b2.post345',
  '1.0rc1.dev456',
  '1.0rc1',
  '1.0',
  '1.0+0x10',
  '1.0+12e4567',
  '1.0+abc.5',
  '1.0+abc.7',
  '1.0+5',
  '1.0+1000',
  '1.0.post456.dev34',
  '1.0.post456',
  '1.0.15',
  '1.1.dev1',
  '20230101123456789012',
  '20230101123456789013',
  '1!0.1',
];

test('versions are in the order of PEP 440', () => {
  const shuffled = ASCENDING.toReversed().map(version);
  expect(shuffled.sort(compareVersions).map(({ text }) => text)).toEqual(ASCENDING);
});

test.each([
  ['1.0', '1'],
  ['1.0', 'v1.0.0'],
  ['1.0alpha1', '1.0a1'],
  ['1.0-c1', '1.0rc1'],
  ['1.0pre', '1.0rc0'],
  ['1.0-1', '1.0.post1'],
  ['1.0-r4', '1.0.post4'],
  ['1.0DEV', '1.0.dev0'],
  ['1.0+Ubuntu-1', '1.0+ubuntu.1'],
  ['01.02', '1.2'],
])('%s and %s are the same version', (one, other) => {
  expect(compareVersions(version(one), version(other))).toBe(0);
});

test.each(['', 'x', '1..0', '1.0+', '1.0 rc 1', '1.0.', 'latest', '1!', `1.${'0'.repeat(300)}`, '1.0+a_', '../1'])(
  '%j is no version',
  (text) => {
    expect(parseVersion(text)).toBeUndefined();
  },
);

test('alpha, beta, candidate and development releases are pre-releases, post releases are not', () => {
  const pre = ['1a1', '1b1', '1rc1', '1.dev1', '1.post1.dev1', '1.post1', '1'].map((text) =>
    isPrerelease(version(text)),
  );
  expect(pre).toEqual([true, true, true, true, true, false, false]);
});
