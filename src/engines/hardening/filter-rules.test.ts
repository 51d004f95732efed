import { expect, test } from 'vitest';
import { filterRules } from './filter-rules.ts';
import { seccompProfile } from './seccomp.ts';

const rulesOf = (profile = seccompProfile()) => filterRules(profile).trimEnd().split('\n');

test('the first line is for all system calls that no other line names', () => {
  expect(rulesOf()[0]).toBe('1 *');
  expect(rulesOf().filter((line) => line.endsWith('*'))).toHaveLength(1);
});

test('what is allowed, what is missing, and what depends on arguments each has its lines', () => {
  const rules = rulesOf();
  expect(rules).toContain('allow read');
  expect(rules).toContain('38 clone3');
  // No flag of a namespace; the process itself.
  expect(rules).toContain('allow clone 0 2114060288 0');
  expect(rules).toContain('allow prlimit64 0 4294967295 0');
  expect(rules).toContain('allow socket 0 4294967295 10 1 4294440959 2 2 4294967295 17');
  for (const refused of ['ptrace', 'keyctl', 'seccomp', 'mount'])
    expect(rules.filter((line) => line.split(' ')[1] === refused && line.startsWith('allow'))).toEqual([]);
});

test('in a user namespace, what is counted for its owner is refused as if it were used up', () => {
  const rules = rulesOf(seccompProfile({ remapped: true }));
  expect(rules.filter((line) => line.startsWith('24 ')).length).toBeGreaterThan(0);
  for (const line of rules.filter((rule) => rule.startsWith('24 ')))
    expect(rules).not.toContain(line.replace('24', 'allow'));
});
