import { expect, test } from 'vitest';
import { GloveboxError } from '../../errors.ts';
import { parseRequirement } from './requirement.ts';

test.each([
  ['numpy', 'numpy'],
  ['  Zope.Interface ', 'Zope.Interface'],
  ['pandas[excel, plot] >= 2.0 , < 3', 'pandas[excel,plot]>=2.0,<3'],
  ['requests (>=2,<3)', 'requests>=2,<3'],
  ['x==1.*', 'x==1.*'],
  [
    'a_b~=1.4 ; python_version < "3.13" and (os_name == \'posix\' or extra == "t")',
    'a_b~=1.4; python_version < "3.13" and (os_name == \'posix\' or extra == "t")',
  ],
  [
    'pywin32; sys_platform == "win32" and platform_machine not in "arm64"',
    'pywin32; sys_platform == "win32" and platform_machine not in "arm64"',
  ],
  ['torch==2.1.0+cpu', 'torch==2.1.0+cpu'],
  ['numpy[]', 'numpy'],
  ['requests === 2.32.0', 'requests===2.32.0'],
  ['x; python_full_version === "3.13.1"', 'x; python_full_version === "3.13.1"'],
  ['x; os.name == "posix"', 'x; os.name == "posix"'],
])('reads %j', (text, canonical) => {
  expect(parseRequirement(text).text).toBe(canonical);
});

test('a name is looked for under the spelling of the index', () => {
  expect(parseRequirement('Zope._-Interface')).toMatchObject({ name: 'Zope._-Interface', project: 'zope-interface' });
});

test.each([
  ['', 'empty'],
  ['   ', 'empty'],
  ['-r requirements.txt', 'requirements file'],
  ['--requirement=x', 'requirements file'],
  ['-r/etc/passwd', 'requirements file'],
  ['--index-url=http://evil', 'option'],
  ['-e .', 'option'],
  ['git+https://host/x.git', 'version-control'],
  ['x @ git+ssh://host/x', 'version-control'],
  ['https://host/x.whl', 'URL'],
  ['file:///etc/passwd', 'URL'],
  ['x @ https://host/x.whl', 'URL or path'],
  ['x @ file:///tmp/x', 'URL or path'],
  ['x@./x', 'URL or path'],
  ['numpy@latest', '"@"'],
  ['./x', 'path'],
  ['../x', 'path'],
  ['/tmp/evil', 'path'],
  ['~/x', 'path'],
  ['C:\\x', 'path'],
  ['sub/dir', 'path'],
  ['.', 'path'],
  ['x-1.0-py3-none-any.whl', 'file'],
  ['x-1.0.tar.gz', 'file'],
  ['requirements.txt', 'file'],
  ['numpy && rm -rf x', 'shell command'],
  ['numpy; rm -rf x', 'environment marker'],
  ['numpy | sh', 'shell command'],
  ['$(id)', 'shell command'],
  ['`id`', 'shell command'],
  ['pip install numpy', 'shell command'],
  ['numpy # newest', 'shell command'],
  ['numpy\n--index-url=http://evil', 'line break'],
  ['numpy\u0000', 'control character'],
  ['numpy pandas', 'more than one'],
  ['numpy 1.26', 'no operator'],
  ['numpy=1.26', 'one "="'],
  ['numpy>=1.0<2', 'is not a version'],
  ['numpy[a b]', 'name of an extra'],
  ['numpy[x', 'not a version specifier'],
  ['x===', 'has no version'],
  ['x===1.0@', 'is not a version'],
  ['x===1.0%2F', 'is not a version'],
  ['_x', 'package name'],
  ['x-', 'package name'],
  ['ünï', 'package name'],
  ['x; os_name', 'environment marker'],
  ['x; os_name == "posix" # newest', 'environment marker'],
  ['x>=\u0661', 'is not a version (PEP 440)'],
  ['x; os_name == "posix" or', 'environment marker'],
  ['x; __import__("os") == "x"', 'environment marker'],
  ['x; ((((((((((((((((((os_name == "a"))))))))))))))))))', 'environment marker'],
  [`${'x'.repeat(2000)}`, 'too long'],
])('refuses %j with its own sentence', (text, reason) => {
  const refuse = () => parseRequirement(text);
  expect(refuse).toThrow(GloveboxError);
  expect(refuse).toThrow(reason);
});

test.each([`x>=${'1>'.repeat(480)}`, `x[${'ï'.repeat(900)}]`, `x ${'1'.repeat(900)}`])(
  'a long part of a requirement was quoted whole, and twice, in the message that refuses it',
  (text) => {
    expect(() => parseRequirement(text)).toThrow(
      expect.objectContaining({ message: expect.stringMatching(/^.{1,500}$/s) }),
    );
  },
);

test('a hostile text takes no time', () => {
  const began = performance.now();
  for (const text of [
    `x${' '.repeat(900)}y`,
    `x;${'('.repeat(900)}`,
    `x[${','.repeat(900)}`,
    'a-'.repeat(450),
    `x==${'1.'.repeat(450)}!`,
  ]) {
    expect(() => parseRequirement(text)).toThrow(GloveboxError);
  }
  expect(performance.now() - began).toBeLessThan(200);
});
