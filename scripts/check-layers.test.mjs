import { describe, expect, test } from 'vitest';
import { findBreaches, importsOf } from './check-layers.mjs';
import { MOST_FILES, MOST_LINES } from './layers.mjs';

const tree = (files) => new Map(Object.entries(files));
const breachesOf = (files) => findBreaches(tree(files));

describe('a breach of the layers is named with its rule', () => {
  test('an import that runs up', () => {
    expect(breachesOf({ 'lib/a.ts': "import { run } from '../tools/run.ts';", 'tools/run.ts': '' })).toEqual([
      'src/lib/a.ts: imports tools/run.ts; "lib" may import nothing else',
    ]);
  });

  test('an import of a type that runs up', () => {
    expect(breachesOf({ 'tar/a.ts': "import type { Run } from '../tools/run.ts';", 'tools/run.ts': '' })).toEqual([
      'src/tar/a.ts: imports a type of tools/run.ts; "tar" may import lib',
    ]);
  });

  test('an import of code where only types are allowed', () => {
    const code = "import { type Frame, readFrame } from '../protocol/frames.ts';";
    const [breach, ...others] = breachesOf({ 'sessions/a.ts': code, 'protocol/frames.ts': '' });
    expect(breach).toMatch(
      /^src\/sessions\/a\.ts: imports protocol\/frames\.ts; "sessions" may import .*type:protocol/,
    );
    expect(others).toEqual([]);
    expect(breachesOf({ 'sessions/a.ts': code.replace('{ type Frame, readFrame }', '{ type Frame }') })).toEqual([]);
  });

  test('a file that is passed on, one that is loaded late, and one over several lines', () => {
    const upward = [
      "export { run } from '../tools/run.ts';",
      "export * from '../tools/run.ts';",
      "const { run } = await import('../tools/run.ts');",
      "import {\n  run,\n  type Run,\n} from '../tools/run.ts';",
      "import '../tools/run.ts';",
    ];
    for (const code of upward) expect(breachesOf({ 'lib/a.ts': code })).toHaveLength(1);
  });

  test('another file of a folder of which one may be imported', () => {
    expect(breachesOf({ 'engines/docker/engine.ts': "import '../../sandbox/engine.ts';" })).toEqual([]);
    expect(breachesOf({ 'engines/docker/engine.ts': "import '../../sandbox/pool.ts';" })).toHaveLength(1);
  });

  test('a package that is for one folder', () => {
    expect(breachesOf({ 'sessions/a.ts': "import type Docker from 'dockerode';" })).toEqual([
      'src/sessions/a.ts: imports the package dockerode; only engines/docker may',
    ]);
    expect(breachesOf({ 'tools/a.ts': "import { streamSSE } from 'hono/streaming';" })).toHaveLength(1);
    expect(breachesOf({ 'engines/docker/a.ts': "import type Docker from 'dockerode';" })).toEqual([]);
  });

  test('a folder that nobody has given a place', () => {
    expect(breachesOf({ 'plugins/a.ts': "import '../lib/a.ts';", 'lib/a.ts': '' })).toEqual([
      'src/plugins/a.ts: scripts/layers.mjs does not know "plugins": say there what it may import',
    ]);
  });

  test('a circle of two files, and one of three, types included', () => {
    const two = { 'lib/a.ts': "import './b.ts';", 'lib/b.ts': "import type { A } from './a.ts';", 'lib/c.ts': '' };
    expect(breachesOf(two)).toEqual(['src/lib/a.ts: an import circle, types included, of lib/a.ts, lib/b.ts']);
    const three = { ...two, 'lib/b.ts': "import './c.ts';", 'lib/c.ts': "export * from './a.ts';" };
    expect(breachesOf(three)).toEqual([
      'src/lib/a.ts: an import circle, types included, of lib/a.ts, lib/b.ts, lib/c.ts',
    ]);
  });

  test('a folder with too many files', () => {
    const names = Array.from({ length: MOST_FILES + 1 }, (_, i) => `lib/f${i}.ts`);
    const [breach] = findBreaches(new Map(names.map((name) => [name, ''])));
    expect(breach).toBe(`src/lib: ${MOST_FILES + 1} files in one folder; ${MOST_FILES} are the most`);
    expect(findBreaches(new Map(names.slice(1).map((name) => [name, ''])))).toEqual([]);
  });

  test('a file with too many lines', () => {
    expect(breachesOf({ 'lib/a.ts': '\n'.repeat(MOST_LINES + 1) })).toHaveLength(1);
    expect(breachesOf({ 'lib/a.ts': '\n'.repeat(MOST_LINES) })).toEqual([]);
  });
});

test('what only looks like an import is none', () => {
  const code = [
    "// import { run } from '../tools/run.ts';",
    "/*\nimport '../tools/run.ts';\n*/",
    "export const ROOT = new URL('../tools/', import.meta.url);",
    "export type Kind = 'from' | '../tools/run.ts';",
  ];
  for (const text of code) expect(importsOf(text)).toEqual([]);
});
