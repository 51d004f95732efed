import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createLog } from '../log.ts';
import { SeenFiles } from './seen-file.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const MISSING = [{ name: 'inodes', found: '/tmp takes any number of files' }] as const;

let stateDir: string;
let warnings: number;
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'glovebox-seen-'));
  warnings = 0;
});
afterEach(() => rmSync(stateDir, { recursive: true }));

function open(directory = stateDir): SeenFiles {
  const warn = () => {
    warnings += 1;
  };
  return new SeenFiles(directory, { ...createLog('error'), warn });
}

test('what was seen is known to the next, for that fingerprint alone', () => {
  open().write('one', MISSING);
  expect(open().read('one')).toEqual(MISSING);
  expect(open().read('other')).toBeUndefined();
});

test('it is believed for a day, and not from the future', () => {
  open().write('one', [], 10 * DAY_MS);
  expect(open().read('one', 11 * DAY_MS - 1)).toEqual([]);
  expect(open().read('one', 11 * DAY_MS)).toBeUndefined();
  expect(open().read('one', 9 * DAY_MS)).toBeUndefined();
});

test('a file of another name is not believed', () => {
  open().write('one', []);
  open().write('two', []);
  const [first = '', second = ''] = readdirSync(join(stateDir, 'probes')).map((name) => join(stateDir, 'probes', name));
  rmSync(first);
  writeFileSync(first, JSON.stringify({ at: Date.now(), fingerprint: 'one', missing: [] }));
  rmSync(second);
  expect([open().read('one'), open().read('two')]).toEqual([undefined, undefined]);
});

test('old files are removed with the next write', () => {
  open().write('one', []);
  const [name = ''] = readdirSync(join(stateDir, 'probes'));
  const old = (Date.now() - 2 * DAY_MS) / 1000;
  utimesSync(join(stateDir, 'probes', name), old, old);
  open().write('two', []);
  expect(readdirSync(join(stateDir, 'probes'))).toHaveLength(1);
});

test('what a writer left that was killed is not read, and goes with the rest', () => {
  open().write('one', []);
  const left = join(stateDir, 'probes', 'left.json.0badc0de');
  writeFileSync(left, '{"at":');
  expect(open().read('one')).toEqual([]);
  const old = (Date.now() - 2 * DAY_MS) / 1000;
  utimesSync(left, old, old);
  open().write('one', []);
  expect(readdirSync(join(stateDir, 'probes'))).toHaveLength(1);
});

test('a folder that cannot be made costs a warning', () => {
  const file = join(stateDir, 'file');
  writeFileSync(file, '');
  open(file).write('one', []);
  expect(warnings).toBe(1);
  expect(open(file).read('one')).toBeUndefined();
});
