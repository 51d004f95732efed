import { expect, test } from 'vitest';
import { matchesSpecifiers, parseSpecifiers } from './specifiers.ts';
import { parseVersion } from './version.ts';

function matches(text: string, specifiers: string): boolean {
  const version = parseVersion(text);
  const parsed = parseSpecifiers(specifiers);
  if (!version || typeof parsed === 'string') throw new Error(`${text} ${specifiers}: ${String(parsed)}`);
  return matchesSpecifiers(version, parsed);
}

// Each agrees with the `packaging` library, 26.3.
test.each([
  ['', '1.0', true],
  ['==1.0', '1.0.0', true],
  ['==1.0', '1.0+local', true],
  ['==1.0+local', '1.0', false],
  ['==1.0', '1.0.post1', false],
  ['==1.*', '1.4rc1', true],
  ['==1.0.*', '1', true],
  ['==1.1.*', '1.10', false],
  ['==1.0+1000', '1.0+1e3', false],
  ['==1!1.*', '1.1', false],
  ['!=1.1.*', '1.1.3', false],
  ['!=1.1', '1.1.post1', true],
  ['>=1.0', '1.0+local', true],
  ['>=1.0', '1.0rc1', false],
  ['<=1.0', '1.0+local', true],
  ['<2', '2.0rc1', false],
  ['<2.0rc2', '2.0rc1', true],
  ['<2.0.post1', '2.0.dev0', true],
  ['<2.0.post1', '2.0.post1.dev0', false],
  ['>1.7', '1.7.0.post1', false],
  ['>1.7', '1.7+local', false],
  ['>1.7.post2', '1.7.post3', true],
  ['>1.7a1', '1.7.post1', true],
  ['>1.7a1', '1.7', true],
  ['<1!1.0', '1.0', true],
  ['>=20230101123456789013', '20230101123456789012', false],
  ['~=2.2', '2.9', true],
  ['~=2.2', '3.0', false],
  ['~=1.4.5', '1.5', false],
  ['~=2.2.post3', '2.2', false],
  ['===1.0', '1.0.0', false],
  ['===1.0+Local', '1.0+local', true],
  ['>=1, <2, !=1.5', '1.4', true],
  ['>=1, <2, !=1.5', '1.5', false],
])('"%s" and %s: %s', (specifiers, version, expected) => {
  expect(matches(version, specifiers)).toBe(expected);
});

test.each([
  ['=1.0', 'one "="'],
  ['1.0', 'not a version specifier'],
  ['==', 'not a version'],
  ['==latest', 'not a version'],
  ['>=1.*', 'only == and !='],
  ['==1.0rc1.*', 'plain release'],
  ['~=1', 'two numbers'],
  ['>=1.0+local', 'local version'],
  ['>=1,,<2', 'not a version specifier'],
  ['>=1.0<2', 'not a version'],
  ['=== ', 'has no version'],
])('"%s" cannot be read, and why', (text, reason) => {
  expect(parseSpecifiers(text)).toContain(reason);
});
