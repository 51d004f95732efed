import { expect, test } from 'vitest';
import { isProjectName, normalizeName, parseFilename } from './names.ts';

test('names have one spelling', () => {
  expect(['Friendly-Bard', 'FRIENDLY.bard', 'friendly__bard', 'friendly-._bard'].map(normalizeName)).toEqual(
    Array(4).fill('friendly-bard'),
  );
});

test.each(['', '-x', 'x-', '.', '..', 'a/b', 'a b', 'ä', 'a\u0000', 'x'.repeat(129)])('%j is no name', (name) => {
  expect(isProjectName(name)).toBe(false);
});

test.each([
  ['numpy-2.0.0-cp313-cp313-manylinux_2_17_x86_64.whl', 'numpy', { kind: 'wheel', version: '2.0.0' }],
  ['Zope_Interface-1.0-1-py3-none-any.whl', 'zope-interface', { kind: 'wheel', version: '1.0' }],
  ['torch-2.1.0+cpu-cp311-cp311-linux_x86_64.whl', 'torch', { kind: 'wheel', version: '2.1.0+cpu' }],
  ['ruamel.yaml-0.18.tar.gz', 'ruamel-yaml', { kind: 'sdist', version: '0.18' }],
  ['old-name-with-dashes-1.0-beta.zip', 'old-name-with-dashes', { kind: 'sdist', version: '1.0-beta' }],
  ['numpy-2.0.0-cp313-cp313-linux.whl', 'other', undefined],
  ['numpy-2.0.0.exe', 'numpy', undefined],
  ['numpy-2.0.0.egg', 'numpy', undefined],
  ['numpy.tar.gz', 'numpy', undefined],
  ['numpy-2.0.0-py3.whl', 'numpy', undefined],
  ['../numpy-1.0.tar.gz', 'numpy', undefined],
  ['numpy-1.0\n.tar.gz', 'numpy', undefined],
] as const)('%s as a file of %s', (filename, project, expected) => {
  expect(parseFilename(filename, project)).toEqual(expected);
});
