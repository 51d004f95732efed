import { expect, test } from 'vitest';
import { PROTECTIONS } from '../sandbox/assurances.ts';
import { tellHeld } from './held.ts';

const INODES = { name: 'inodes', found: '/workspace takes any number of files' } as const;

/** The protections of each finding that is no warning. */
const namesOf = (findings: ReturnType<typeof tellHeld>) =>
  Object.fromEntries(
    findings
      .filter(([level]) => level === 'ok')
      .map(([, what, said]) => [what, said.replace('in place of ', '').split(', ')]),
  );

test("limits of gVisor's sandboxes, which only the engine tells, were told as seen inside", () => {
  const { 'seen inside': seen, "engine's word": told, 'own kernel': replaced } = namesOf(tellHeld([], false));
  expect(told).toEqual(['namespaces', 'memory', 'swap', 'cpu']);
  expect(replaced).toEqual(['seccomp', 'masks']);
  expect(seen).toEqual(
    PROTECTIONS.filter((name) => !['oom-group', ...(told ?? []), ...(replaced ?? [])].includes(name)),
  );
});

test('where the kernel is shared, all but the namespaces is seen', () => {
  const { 'seen inside': seen, "engine's word": told, ...rest } = namesOf(tellHeld([], true));
  expect(told).toEqual(['namespaces']);
  expect(seen).toEqual(PROTECTIONS.filter((name) => name !== 'namespaces'));
  expect(rest).toEqual({});
});

test('what is missing is told as that alone', () => {
  const findings = tellHeld([INODES], true);
  expect(namesOf(findings)['seen inside']).not.toContain('inodes');
  expect(findings.at(-1)).toEqual(['warn', 'missing: inodes', INODES.found, 'GLOVEBOX_ALLOW_MISSING allows it.']);
});

test('what is missing and no reason to refuse is told with what to do, that of the engine first', () => {
  const missing = [{ name: 'oom-group', found: 'all of a sandbox ends' }] as const;
  expect(tellHeld(missing, true).at(-1)?.[3]).toMatch(/memory\.oom\.group/);
  expect(tellHeld(missing, true, { 'oom-group': 'Set it.' }).at(-1)).toEqual([
    ...['warn', 'missing: oom-group', 'all of a sandbox ends', 'Set it.'],
  ]);
});
