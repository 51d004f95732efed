import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { BegunCalls } from './begun-calls.ts';

const CALL = { owner: 'alice', key: 'k/1', fingerprint: 'f' };

let parent: string;
let folder: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'glovebox-calls-'));
  folder = join(parent, 'calls');
});
afterEach(() => rmSync(parent, { recursive: true }));

const paths = () => readdirSync(folder).map((name) => join(folder, name));
const age = (path: string, minutes: number) => {
  const at = new Date(Date.now() - minutes * 60_000);
  utimesSync(path, at, at);
};

test('a call begins once for its owner and key, also for the next process', () => {
  expect(new BegunCalls(folder).begin(CALL)).toBeUndefined();
  const next = new BegunCalls(folder);
  expect(next.begin({ ...CALL, fingerprint: 'other' })).toEqual({ fingerprint: 'f' });
  expect(next.begin({ ...CALL, owner: 'bob' })).toBeUndefined();
  expect(next.begin({ ...CALL, key: 'k/2' })).toBeUndefined();
});

test('a call of which nothing was done is forgotten', () => {
  const calls = new BegunCalls(folder);
  calls.begin(CALL);
  calls.forget(CALL.owner, CALL.key);
  calls.forget(CALL.owner, CALL.key);
  expect(calls.begin(CALL)).toBeUndefined();
});

test('names neither owners nor keys in its folder', () => {
  new BegunCalls(folder).begin(CALL);
  expect(readdirSync(folder)).toEqual([expect.stringMatching(/^[0-9a-f]{32}$/)]);
});

test('a call whose process ended while it was written down had not begun', () => {
  new BegunCalls(folder).begin(CALL);
  for (const path of paths()) writeFileSync(path, '');
  expect(new BegunCalls(folder).begin(CALL)).toBeUndefined();
});

test('a call is known for an hour', async () => {
  const calls = new BegunCalls(folder);
  calls.begin(CALL);
  for (const path of paths()) age(path, 59);
  expect(calls.begin(CALL)).toEqual({ fingerprint: 'f' });
  for (const path of paths()) age(path, 61);
  expect(calls.begin(CALL)).toBeUndefined();
  for (const path of paths()) age(path, 61);
  await calls.sweep();
  expect(paths()).toEqual([]);
});

test('only the newest ten thousand are known', async () => {
  const calls = new BegunCalls(folder);
  for (let n = 0; n < 10_002; n += 1) calls.begin({ ...CALL, key: String(n) });
  calls.begin(CALL);
  const [oldest = ''] = paths();
  age(oldest, 30);
  await calls.sweep();
  expect(paths()).toHaveLength(10_000);
  expect(paths()).not.toContain(oldest);
});
