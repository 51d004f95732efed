import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { findBreaches, importsOf, RUNNER_LAYERS, readModules } from './check-runner.mjs';
import { MOST_FILES, MOST_LINES } from './layers.mjs';

const breachesOf = (files) =>
  findBreaches(new Map(Object.entries(files).map(([path, text]) => [`_glovebox/${path}.py`, `${text}\n`])));

describe('a breach of the order of the runner is named with its rule', () => {
  const upward = {
    'an import of a module': 'from _glovebox.program import program',
    'an import of a name': 'from _glovebox.program.program import Program',
    'an import of a whole path': 'import _glovebox.program.program',
    'an import within a function': 'def f():\n    from _glovebox.program import program',
    'an import for types': 'if TYPE_CHECKING:\n    from _glovebox.program.program import Program',
    'an import over several lines': 'from _glovebox.program.program import (\n    Pipes,  # ends\n    Program,\n)',
    'a late import': 'run = import_own("program.program").run',
  };
  test.each(Object.entries(upward))('%s that runs up', (_what, text) => {
    expect(breachesOf({ 'wire/a': text, 'program/program': '' })).toEqual([
      '_glovebox/wire/a.py: imports program.program; "wire" may import nothing else',
    ]);
  });

  test('an import of a folder from beside the folders', () => {
    expect(breachesOf({ paths: 'from _glovebox.wire import frames', 'wire/frames': '' })).toEqual([
      '_glovebox/paths.py: imports wire.frames; a module beside the folders may import nothing else',
    ]);
  });

  test('a folder that nobody has given a place, and a module that is not there', () => {
    expect(breachesOf({ 'plugins/a': 'from _glovebox.wire import frames', 'wire/frames': '' })).toEqual([
      '_glovebox/plugins/a.py: scripts/check-runner.mjs does not know "plugins": say there what it may import',
    ]);
    expect(breachesOf({ 'wire/a': 'from _glovebox.wire.gone import f' })).toEqual([
      '_glovebox/wire/a.py: imports wire.gone, which there is not',
    ]);
  });

  test('an import relative to the folder', () => {
    expect(breachesOf({ 'wire/a': 'from .b import f', 'wire/b': '' })).toHaveLength(1);
  });

  test('a circle of two modules, and one of three, types and functions included', () => {
    const two = {
      'wire/a': 'from _glovebox.wire import b',
      'wire/b': 'if TYPE_CHECKING:\n    from _glovebox.wire.a import A',
    };
    expect(breachesOf(two)).toEqual(['_glovebox/wire/a.py: an import circle, types included, of wire.a, wire.b']);
    const three = {
      ...two,
      'wire/b': 'def f():\n    from _glovebox.wire import c',
      'wire/c': 'import_own("wire.a")',
    };
    expect(breachesOf(three)).toEqual([
      '_glovebox/wire/a.py: an import circle, types included, of wire.a, wire.b, wire.c',
    ]);
  });

  test('a folder with too many files, and a file with too many lines', () => {
    const names = Array.from({ length: MOST_FILES + 1 }, (_, at) => [`wire/m${at}`, '']);
    expect(breachesOf(Object.fromEntries(names))).toEqual([
      `_glovebox/wire: ${MOST_FILES + 1} files in one folder; ${MOST_FILES} are the most`,
    ]);
    expect(breachesOf({ 'wire/a': '\n'.repeat(MOST_LINES) })).toHaveLength(1);
    expect(breachesOf({ 'wire/a': '\n'.repeat(MOST_LINES - 1) })).toEqual([]);
  });
});

test('libraries and what only looks like an import are none', () => {
  const texts = [
    'import os, sys',
    'from IPython.core import displayhook',
    'text = "from _glovebox.wire import frames"',
  ];
  for (const text of texts) expect(importsOf(text, new Set())).toEqual([]);
});

test('the table has every folder of the runner, each once', () => {
  const modules = readModules(fileURLToPath(new URL('../sandbox-image/runner', import.meta.url)));
  const folders = [...modules.keys()].flatMap((path) => /^_glovebox\/(\w+)\//.exec(path)?.[1] ?? []);
  expect(Object.keys(RUNNER_LAYERS).sort()).toEqual([...new Set(folders), '__main__'].sort());
});
