import { deepEqual, ok } from 'node:assert/strict';
import { GloveboxError } from '../../../src/errors.ts';
import { parseFilename } from '../../../src/packages/pep/names.ts';
import { parseRequirement, type Requirement } from '../../../src/packages/pep/requirement.ts';
import { matchesSpecifiers } from '../../../src/packages/pep/specifiers.ts';
import { compareVersions, parseVersion, type Version } from '../../../src/packages/pep/version.ts';
import type { Target } from '../target.ts';

const VERSIONS = [
  '0',
  '1',
  '1.0',
  '1.0.1',
  '1.1.dev1',
  '2.0a1',
  '2.0rc2',
  '2.0',
  '2.0.post1',
  '2.0+x.1',
  '1!0',
  '99999999999999999999',
]
  .map((text) => parseVersion(text))
  .filter((version) => version !== undefined);

/** Packages that callers and code ask for, and versions and names of files that an index has. */
export const requirement: Target = {
  name: 'requirement',
  longest: 2000,
  words: [
    ...[
      '===',
      '~=',
      '==',
      '!=',
      '<=',
      '>=',
      '<',
      '>',
      '.*',
      '[',
      ']',
      ',',
      ';',
      '(',
      ')',
      '@',
      '1!',
      '+x',
      '.post1',
      'rc1',
      '.dev0',
    ],
    ...['python_version', 'os_name', 'extra', 'sys.platform', ' and ', ' or ', ' not in ', ' in ', '"posix"', "'3'"],
    ...[
      '-r',
      '--',
      'git+https://',
      'file:',
      'http://',
      '../',
      '~/',
      'c:\\',
      '.whl',
      '.tar.gz',
      ' install ',
      '&&',
      '\r\n',
      '\0',
      'ünï',
      '١',
    ],
    'a-1.0-py3-none-any.whl',
  ],
  run(input) {
    const text = input.toString('utf8');
    checkRequirement(text);
    checkVersion(text);
    const file = parseFilename(text, 'a-b');
    if (file) ok(/^[A-Za-z0-9._+!~-]+$/.test(text) && file.version !== '', text);
  },
};

function checkRequirement(text: string): void {
  let found: Requirement;
  try {
    found = parseRequirement(text);
  } catch (error) {
    ok(
      error instanceof GloveboxError && error.code === 'invalid_input',
      `${error instanceof Error ? error.stack : error}`,
    );
    ok(error.message.length < 1000 && error.message.isWellFormed(), `a message that cannot be sent: ${error.message}`);
    return;
  }
  // It is one argument of an installer: no option, path, URL or second line can be made of it.
  const beforeMarker = found.text.split(';', 1)[0] ?? '';
  ok(/^[A-Za-z0-9]/.test(found.text) && !/\p{Cc}/u.test(found.text), found.text);
  ok(/^[A-Za-z0-9._-]+(\[[A-Za-z0-9._,-]*\])?([=<>!~]=?=?[^;@/\\\s#|&`$%]*)?$/.test(beforeMarker), beforeMarker);
  ok(/^[a-z0-9]+(-[a-z0-9]+)*$/.test(found.project), found.project);
  const again = parseRequirement(found.text);
  deepEqual({ ...again, text: '' }, { ...found, text: '' }, 'its canonical form is another requirement');
  ok(again.text === found.text, `${found.text} is not canonical: ${again.text}`);
  for (const version of VERSIONS) {
    const all = matchesSpecifiers(version, found.specifiers);
    const each = found.specifiers.every((one) => matchesSpecifiers(version, [one]));
    ok(all === each, `${version.text} and ${found.text}`);
  }
}

function checkVersion(text: string): void {
  const version = parseVersion(text);
  if (!version) return;
  for (const other of VERSIONS) {
    const [one, two] = [Math.sign(compareVersions(version, other)), Math.sign(compareVersions(other, version))];
    ok(one + two === 0, `${version.text} and ${other.text} have no order`);
    const operator = one < 0 ? '<=' : one > 0 ? '>=' : '==';
    ok(matches(publicOf(version), operator, publicOf(other)), `${version.text} ${operator} ${other.text}`);
  }
}

function publicOf(version: Version): Version {
  const { local: _, ...rest } = version;
  return { ...rest, text: version.text.split('+', 1)[0] ?? '' };
}

function matches(version: Version, operator: '<=' | '>=' | '==', other: Version): boolean {
  return matchesSpecifiers(version, [{ operator, text: other.text, prefix: false, version: other }]);
}
