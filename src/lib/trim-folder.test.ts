import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { trimFolder } from './trim-folder.ts';

const DAY_S = 86_400;
const LIMITS = { bytes: 1000, unusedForMs: 30 * DAY_S * 1000, everyMs: DAY_S * 1000 };

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gbx-trim-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** A file that was written and read so many days ago. */
function add(path: string, size: number, writtenDaysAgo: number, readDaysAgo = writtenDaysAgo): void {
  const at = join(folder, path);
  mkdirSync(join(at, '..'), { recursive: true });
  writeFileSync(at, 'x'.repeat(size));
  const secondsAgo = (days: number) => Date.now() / 1000 - days * DAY_S;
  utimesSync(at, secondsAgo(readDaysAgo), secondsAgo(writtenDaysAgo));
}

const left = (...paths: string[]) => paths.filter((path) => existsSync(join(folder, path)));

test('what nobody has used for long goes, with its folder; what is old and still read stays', async () => {
  add('v22/old', 10, 40);
  add('v24/old', 10, 40);
  add('v24/read', 10, 40, 2);
  add('v24/new', 10, 1);
  await trimFolder(folder, LIMITS);
  expect(left('v22', 'v24/old', 'v24/read', 'v24/new')).toEqual(['v24/read', 'v24/new']);
});

test('of more than fits, what was used last stays', async () => {
  for (const days of [1, 2, 3, 4]) add(`v24/${days}`, 400, days);
  await trimFolder(folder, LIMITS);
  expect(left('v24/1', 'v24/2', 'v24/3', 'v24/4')).toEqual(['v24/1', 'v24/2']);
});

test('it is looked at once a day, and only its own folders are', async () => {
  add('beside', 2000, 40);
  add('v24/a', 10, 1);
  await trimFolder(folder, LIMITS);
  add('v24/old', 10, 40);
  await trimFolder(folder, LIMITS);
  expect(left('beside', 'v24/a', 'v24/old')).toHaveLength(3);
  utimesSync(join(folder, '.trimmed'), Date.now() / 1000, Date.now() / 1000 - 2 * DAY_S);
  await trimFolder(folder, LIMITS);
  expect(left('beside', 'v24/a', 'v24/old')).toEqual(['beside', 'v24/a']);
});
